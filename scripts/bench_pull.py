"""The images whose pulls are measured, made of this host's own Debian files; and what of a pull is not milliseconds."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import time

SMALL = 64 << 10


def host_files():
    """Regular files of /usr, in an order that does not change; sizes with them."""
    for folder, folders, names in os.walk("/usr"):
        folders[:] = sorted(f for f in folders if (folder, f) not in (("/usr", "local"), ("/usr", "src")))
        for name in sorted(names):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                yield path, status.st_size


def large(megabytes):
    """The first so many megabytes: what a Debian-based image holds."""
    left = megabytes << 20
    for path, size in host_files():
        if size > left:
            return
        left -= size
        yield path, path


def many(count):
    """So many small files; some under two names where the host has fewer."""
    found = [path for path, size in host_files() if 0 < size < SMALL]
    for number in range(count):
        turn, at = divmod(number, len(found))
        yield found[at], "/%d%s" % (turn, found[at]) if turn else found[at]


def archive(files, path):
    """A layer of these files, gzip as engines make it, with a program that does nothing; the digest of the plain archive."""
    plain = hashlib.sha256()

    class Hashed(io.RawIOBase):
        def __init__(self, out):
            self.out = out

        def writable(self):
            return True

        def write(self, data):
            plain.update(data)
            return self.out.write(data)

    with gzip.GzipFile(path, "wb", compresslevel=6, mtime=0) as packed:
        with tarfile.open(fileobj=Hashed(packed), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            seen = set()

            def folders(name):
                parent = os.path.dirname(name)
                if parent and parent not in seen:
                    folders(parent)
                    seen.add(parent)
                    info = tarfile.TarInfo(parent)
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(info)
            for source, name in [*files, (shutil.which("busybox"), "bin/true")]:
                name = name.lstrip("/")
                folders(name)
                with open(source, "rb") as fh:
                    info = tar.gettarinfo(arcname=name, fileobj=fh)
                    if info.islnk():
                        info.type, info.size = tarfile.REGTYPE, os.fstat(fh.fileno()).st_size
                    info.uid = info.gid = 0
                    info.uname = info.gname = ""
                    info.mtime = int(info.mtime)
                    tar.addfile(info, fh)
    return "sha256:" + plain.hexdigest()


def make(layout, images):
    """An OCI layout with an image of one layer for each name; the layers' files by name."""
    blobs = layout + "/blobs/sha256"
    os.makedirs(blobs)

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as fh:
            fh.write(data)
        return "sha256:" + digest, len(data)
    layers, manifests = {}, []
    for name, files in images.items():
        path = os.path.join(layout, "layer")
        diff = archive(files, path)
        digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
        layers[name] = os.path.join(blobs, digest)
        os.rename(path, layers[name])
        config = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/true"]},
                                 "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode())
        media = "application/vnd.oci.image.%s"
        manifest = put(json.dumps({
            "schemaVersion": 2, "mediaType": media % "manifest.v1+json",
            "config": {"mediaType": media % "config.v1+json", "digest": config[0], "size": config[1]},
            "layers": [{"mediaType": media % "layer.v1.tar+gzip", "digest": "sha256:" + digest,
                        "size": os.path.getsize(layers[name])}]}).encode())
        manifests.append({"mediaType": media % "manifest.v1+json", "digest": manifest[0], "size": manifest[1],
                          "annotations": {"org.opencontainers.image.ref.name": "docker.io/library/%s:latest" % name}})
    with open(layout + "/oci-layout", "w") as fh:
        fh.write('{"imageLayoutVersion": "1.0.0"}')
    with open(layout + "/index.json", "w") as fh:
        json.dump({"schemaVersion": 2, "manifests": manifests}, fh)
    return layers


def disk(at, tool):
    """A file system with a journal, in memory: what is measured is work, and not this machine's disk."""
    image = "/dev/shm/dockless-bench-%d" % os.getpid()
    os.makedirs(at)
    with open(image, "wb") as fh:
        fh.truncate(8 << 30)
    try:
        tool("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", image)
        tool("mount", "-o", "loop", image, at)
    finally:
        os.remove(image)


def deleted(trash):
    """Waits until what was removed is gone: rmi leaves that to a process of its own, which would run beside what is timed next."""
    until = time.monotonic() + 60
    while os.path.isdir(trash) and os.listdir(trash):
        if time.monotonic() > until:
            raise RuntimeError("%s is not emptied" % trash)
        time.sleep(0.01)


def memory(argv, env):
    """Megabytes that a command held at most. Asked of a small process: what starts another counts as the other's until it executes."""
    script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    done = subprocess.run([sys.executable, "-S", "-c", script, *argv], env=env, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout) / 1024


def untar(folder, mode, layer, place):
    """Milliseconds that the floor program took for its way of doing a pull's work."""
    done = subprocess.run([folder + "/untar", mode, layer, place], stdout=subprocess.PIPE, text=True, check=True)
    return float(re.search(r"[0-9.]+\s*$", done.stdout).group(0))
