/* SPDX-License-Identifier: GPL-2.0 */
/* QEMU's edu device, whose DMA shows what the IOMMU lets through. */
#ifndef PFNMAP_DEVICES_EDU_H
#define PFNMAP_DEVICES_EDU_H

#include <chrono>
#include <utility>
#include <vector>

#include <linux/pci_regs.h>
#include <poll.h>

#include "devices/environment.h"
#include "devices/layout.h"
#include "kernel/mapping.h"

namespace pfnmap
{

/* Long, since an emulated machine may be busy; only a failure waits for it. */
inline constexpr std::chrono::seconds PATIENCE{30};

/*
 * The edu device (docs/specs/edu.txt of QEMU): a DMA engine that copies between
 * memory and a buffer of its own. It aborts QEMU if a transfer reaches the last
 * byte of the buffer, so only half of it is used.
 */
class Edu
{
public:
	static constexpr std::size_t MOST = 2048; /* bytes a transfer */

	/* Lets @device do DMA. */
	static Result<Edu> open(const TestDevice &device)
	{
		auto command = device.device.read_config(PCI_COMMAND);

		if (!command)
			return command.error();
		if (int error = device.device.write_config(
			    PCI_COMMAND,
			    static_cast<std::uint16_t>(*command |
						       PCI_COMMAND_MASTER)))
			return Error{error, "PCI_COMMAND_MASTER"};

		auto va = VaRange::reserve(device.bar.size, SZ_PAGE, 0);

		if (!va)
			return va.error();
		if (int error = va->place(0, device.bar.size, PROT_RW,
					  MAP_SHARED, device.device.fd(),
					  device.bar.file_offset))
			return Error{error, "map the edu device"};
		return Edu(std::move(*va));
	}

	/* Both return false if the device never finishes. */
	bool read_memory(Iova from, std::size_t size)
	{
		return transfer(from.value, BUFFER, size, START);
	}

	bool write_memory(Iova to, std::size_t size)
	{
		return transfer(BUFFER, to.value, size, START | TO_MEMORY);
	}

private:
	static constexpr std::size_t SOURCE = 0x80, DESTINATION = 0x88;
	static constexpr std::size_t COUNT = 0x90, COMMAND = 0x98;
	static constexpr std::uint64_t START = 1, TO_MEMORY = 2;
	static constexpr std::uint64_t BUFFER = 0x40000;

	explicit Edu(VaRange va) : va_(std::move(va)) {}

	volatile std::uint64_t &reg(std::size_t at) const
	{
		return *reinterpret_cast<volatile std::uint64_t *>(
			(va_.start() + at).value);
	}

	bool transfer(std::uint64_t from, std::uint64_t to, std::size_t size,
		      std::uint64_t command)
	{
		auto end = std::chrono::steady_clock::now() + PATIENCE;

		reg(SOURCE) = from;
		reg(DESTINATION) = to;
		reg(COUNT) = size;
		reg(COMMAND) = command;
		while (reg(COMMAND) & START) {
			if (std::chrono::steady_clock::now() >= end)
				return false;
			poll(nullptr, 0, 1);
		}
		return true;
	}

	VaRange va_;
};

/* Memory as the CPU sees it. A BAR wants accesses of a plain width. */
std::vector<std::uint8_t> load(Vaddr from, std::size_t size);

void store(Vaddr to, const std::vector<std::uint8_t> &bytes);

/* Bytes of a short transfer, and of what is looked at beside a transfer. */
inline constexpr std::size_t GUARD = 64;

} // namespace pfnmap

#endif
