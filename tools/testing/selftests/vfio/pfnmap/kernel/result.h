/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Errors as values. Calls with nothing to hand back return an int, 0 or a
 * positive errno, since most tests compare just that; the others return
 * Result<T>.
 */
#ifndef PFNMAP_KERNEL_RESULT_H
#define PFNMAP_KERNEL_RESULT_H

#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace pfnmap
{

/* "EFAULT" for EFAULT, "success" for 0. */
inline std::string errno_name(int error)
{
	const char *name = error ? strerrorname_np(error) : "success";

	return name ? name : std::to_string(error);
}

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
class [[nodiscard]] Result
{
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

/* The error of a call named @what that gave @code; nothing if that is 0. */
inline std::optional<Error> error_of(const char *what, int code)
{
	if (!code)
		return {};
	return Error{code, what};
}

} // namespace pfnmap

#endif
