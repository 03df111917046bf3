// SPDX-License-Identifier: GPL-2.0
#include "accomplice.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pfnmap {
namespace {

/* One number a message, and perhaps a file with it. */
[[nodiscard]] int send_message(int socket, int number, int file)
{
	alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
	iovec data{.iov_base = &number, .iov_len = sizeof(number)};
	msghdr message{};

	message.msg_iov = &data;
	message.msg_iovlen = 1;
	if (file >= 0) {
		message.msg_control = control.data();
		message.msg_controllen = control.size();

		cmsghdr *header = CMSG_FIRSTHDR(&message);

		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		std::memcpy(CMSG_DATA(header), &file, sizeof(file));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

struct Message {
	int number = 0;
	UniqueFd file;
};

Result<Message> receive_message(int socket)
{
	alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
	Message received;
	iovec data{.iov_base = &received.number,
		   .iov_len = sizeof(received.number)};
	msghdr message{};

	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = control.data();
	message.msg_controllen = control.size();
	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) !=
	    sizeof(received.number))
		return Error{EPIPE, "another process"};
	if (cmsghdr *header = CMSG_FIRSTHDR(&message)) {
		int file;

		std::memcpy(&file, CMSG_DATA(header), sizeof(file));
		received.file = UniqueFd(file);
	}
	return received;
}

[[noreturn]] void act_when_asked(int socket, const Accomplice::Act &act)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		auto message = receive_message(socket);

		if (!message)
			_exit(EXIT_SUCCESS);
		if (send_message(socket, act(std::move(message->file)), -1))
			_exit(EXIT_FAILURE);
	}
}

} // namespace

Result<Accomplice> Accomplice::start(const Act &act)
{
	std::array<int, 2> ends;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()))
		return Error{errno, "socketpair"};

	UniqueFd ours(ends[0]), theirs(ends[1]);
	pid_t child = fork();

	if (child < 0)
		return Error{errno, "fork"};
	if (!child) {
		/* The end of the other's is the end of this one. */
		close(ours.get());
		act_when_asked(theirs.get(), act);
	}
	return Accomplice(std::move(ours), child);
}

Accomplice::~Accomplice()
{
	if (child_)
		end(SIGKILL);
}

int Accomplice::begin(int file) const
{
	return send_message(socket_.get(), 0, file);
}

int Accomplice::answer() const
{
	auto message = receive_message(socket_.get());

	return message ? message->number : message.error().code;
}

int Accomplice::ask(int file) const
{
	if (int error = begin(file))
		return error;
	return answer();
}

int Accomplice::end(int signal)
{
	int status = -1;

	if (signal)
		kill(child_, signal);
	socket_ = UniqueFd();
	waitpid(std::exchange(child_, 0), &status, 0);
	return status;
}

} // namespace pfnmap
