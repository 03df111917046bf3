# SPDX-License-Identifier: GPL-2.0
#
# make -C tools/testing/selftests/vfio/pfnmap -f .../tests/lab/tidy.mk \
#	OUTPUT=DIRECTORY HEADERS=DIRECTORY
#
# Ask clang-tidy about each source of the harness that has changed since it last had
# nothing to say, be it by a header. HEADERS are the kernel's, for user space.

CLANG_TIDY ?= clang-tidy-16
FLAGS := -std=c++20 -D_GNU_SOURCE -iquote . -isystem $(HEADERS)
TIDY := $(patsubst %.cc,$(OUTPUT)/%.tidy,$(wildcard */*.cc))

all: $(TIDY)

$(OUTPUT)/%.tidy: %.cc $(dir $(lastword $(MAKEFILE_LIST)))../../.clang-tidy
	@mkdir -p $(@D)
	$(CLANG_TIDY) --quiet $< -- $(FLAGS)
	@$(CXX) $(FLAGS) -MM -MP -MT $@ -MF $(@:.tidy=.d) $<
	@touch $@

-include $(TIDY:.tidy=.d)
