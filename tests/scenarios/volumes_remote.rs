//! Volumes of a server: mounted for each container, nowhere on the host.

use std::path::{Path, PathBuf};
use testkit::{Call, Host, Running, eventually, kernel, requires, scenarios};

scenarios!(containers_share_what_an_nfs_server_has);

/// The kernel's own server, in this network namespace: version 4 alone, which needs no port mapper.
struct NfsServer {
    exported: PathBuf,
    _mountd: Running,
}

impl NfsServer {
    fn start(host: &Host) -> Self {
        // State of the host's own server, and a file system that can be exported.
        kernel::tool_ok("mount -t tmpfs state /var/lib/nfs");
        for file in ["etab", "rmtab"] {
            std::fs::write(Path::new("/var/lib/nfs").join(file), "").expect("a file");
        }
        let exported = host.folder("exported");
        let shown = exported.display();
        kernel::tool_ok(&format!("mount -t tmpfs exported {shown}"));
        kernel::tool_ok("mount -t nfsd nfsd /proc/fs/nfsd");
        // No client has anything to claim from before: a new server need not wait for it long.
        for file in ["nfsv4leasetime", "nfsv4gracetime"] {
            std::fs::write(Path::new("/proc/fs/nfsd").join(file), "10").expect(file);
        }
        kernel::tool_ok(&format!(
            "exportfs -i -o rw,no_root_squash,no_subtree_check,fsid=0 127.0.0.1:{shown}"
        ));
        let mountd = Call::tool(Path::new("rpc.mountd"), "-F -N 2 -N 3 -V 4").start();
        kernel::tool_ok("rpc.nfsd -N 3 -U -H 127.0.0.1 2");
        Self {
            exported,
            _mountd: mountd,
        }
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.exported.join(name)).ok()
    }
}

impl Drop for NfsServer {
    fn drop(&mut self) {
        // Threads of the kernel: they would outlive the namespace's processes.
        kernel::tool("rpc.nfsd 0");
    }
}

fn kernel_has(kind: &str) -> bool {
    kernel::tool(&format!("modprobe -q {kind}"));
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    known.split_whitespace().any(|word| word == kind)
}

fn has(program: &str) -> bool {
    Path::new("/usr/sbin").join(program).exists()
}

const FILE: &str = "\
services:
  writer:
    image: busybox
    init: true
    command: sh -c 'echo from the writer > /far/file && sleep 1000'
    volumes: ['far:/far']
  reader:
    image: busybox
    init: true
    command: sleep 1000
    volumes: ['far:/far:ro']
volumes:
  far:
    driver_opts: {type: nfs, o: 'addr=localhost,rw,nfsvers=4.2,soft', device: ':/'}
";

fn containers_share_what_an_nfs_server_has(host: &Host) {
    requires!(kernel_has("nfs"), "this kernel has no NFS");
    requires!(kernel_has("nfsd"), "this kernel has no NFS server");
    requires!(has("rpc.nfsd"), "nfs-kernel-server");
    let server = NfsServer::start(host);
    let project = host.compose_file("shares", FILE);
    project.compose("up -d").ok();
    // The client sends what was written when the file is closed.
    eventually("the server has it", || {
        (server.read("file")? == "from the writer\n").then_some(())
    });
    let reader = |words: &str| host.docker(&format!("exec shares-reader-1 {words}"));
    eventually("the other container has it", || {
        let said = reader("cat /far/file").run();
        (said.code == 0 && said.stdout == "from the writer\n").then_some(())
    });
    reader("touch /far/not").fails(1).says(&["Read-only"]);
    std::fs::write(server.exported.join("later"), "by the server").expect("a file");
    eventually("what the server writes is seen", || {
        (reader("cat /far/later").run().stdout == "by the server").then_some(())
    });
    let mounts = kernel::mounts_of(host.pid("shares-writer-1"));
    let far = mounts.iter().find(|mount| mount.target == "/far");
    assert!(far.is_some_and(|mount| mount.kind.starts_with("nfs") && mount.has("rw")));
    assert!(
        !kernel::tool_ok("mount").contains(" type nfs4 "),
        "nothing on the host"
    );

    // Another path of it, below the volume's, and one that is not there.
    std::fs::create_dir(server.exported.join("below")).expect("a directory");
    let volume = |name: &str, device: &str| {
        host.docker(&format!(
            "volume create -d local -o type=nfs -o o=addr=127.0.0.1,nfsvers=4 -o device={device} {name}"
        ))
        .ok();
    };
    volume("below", ":/below");
    host.docker("run --rm -v below:/b busybox touch /b/new")
        .ok();
    assert!(server.exported.join("below/new").exists());
    volume("nowhere", ":/nowhere");
    host.docker("run --rm --name lost -v nowhere:/n busybox true")
        .fails(125)
        .says(&["cannot mount nfs :/nowhere", "dmesg"]);
    assert_eq!(host.docker("ps -aq --filter name=lost").ok(), "");

    project.compose("down -v").ok();
    assert_eq!(server.read("file").as_deref(), Some("from the writer\n"));
}
