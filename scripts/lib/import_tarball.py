#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""import_tarball.py MESSAGE IDENTITY <FILE.tar | git fast-import

Print a tarball as one commit of the branch "source", without its top folder. git
then writes one pack: a file each for 90,000 objects takes it minutes. IDENTITY is
"NAME <MAIL> SECONDS +0000", of author and committer.
"""
import sys
import tarfile


def data(content):
    """The form in which git fast-import takes bytes."""
    return b"data %d\n%s\n" % (len(content), content)


def entry(tar, member):
    """A file or a symbolic link of the commit; of a folder nothing."""
    path = member.name.split("/", 1)[-1].encode()
    if member.isdir():
        return b""
    if member.issym():
        return b"M 120000 inline %s\n%s" % (path, data(member.linkname.encode()))
    if not member.isfile():
        sys.exit(f"import_tarball.py: {member.name} is neither file, link nor folder")
    mode = b"100755" if member.mode & 0o100 else b"100644"
    return b"M %s inline %s\n%s" % (mode, path, data(tar.extractfile(member).read()))


def main():
    message, identity = sys.argv[1:]
    out = sys.stdout.buffer
    out.write(b"commit refs/heads/source\n")
    out.write(f"author {identity}\ncommitter {identity}\n".encode())
    out.write(data(message.encode()))
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as tar:
        for member in tar:
            out.write(entry(tar, member))
            tar.members = []  # it would keep all of them


main()
