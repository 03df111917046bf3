/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Errors as values. Calls with nothing to hand back return an int, 0 or a
 * positive errno, since most tests compare just that; the others return
 * Result<T>.
 */
#ifndef PFNMAP_RESULT_H
#define PFNMAP_RESULT_H

#include <cstring>
#include <string>
#include <utility>
#include <variant>

namespace pfnmap {

/* @code is a positive errno, @what names the call or file that gave it. */
struct Error {
	int code = 0;
	std::string what;

	std::string message() const
	{
		return what + ": " + std::strerror(code);
	}
};

template <class T>
class [[nodiscard]] Result {
public:
	Result(T value) : state_(std::move(value)) {}
	Result(Error error) : state_(std::move(error)) {}

	explicit operator bool() const
	{
		return std::holds_alternative<T>(state_);
	}

	T &operator*() { return std::get<T>(state_); }
	const T &operator*() const { return std::get<T>(state_); }
	T *operator->() { return &**this; }
	const T *operator->() const { return &**this; }

	const Error &error() const { return std::get<Error>(state_); }

private:
	std::variant<T, Error> state_;
};

} // namespace pfnmap

#endif
