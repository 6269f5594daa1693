//! Look-ups in trees made to mislead.

use super::*;
use std::os::unix::fs::symlink;

struct Tree(std::path::PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("dockless-path-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("root/etc")).unwrap();
        Self(path)
    }

    fn root(&self) -> OwnedFd {
        rustix::fs::open(
            self.0.join("root"),
            OFlags::PATH | OFlags::DIRECTORY,
            Mode::empty(),
        )
        .unwrap()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn links_stay_within_the_root() {
    let tree = Tree::new("links");
    symlink("/", tree.0.join("root/slash")).unwrap();
    symlink("../../..", tree.0.join("root/up")).unwrap();
    for path in ["slash/a/b", "up/c/d", "../../e"] {
        make_in_root(
            tree.root().as_fd(),
            Path::new(path),
            Missing::Directory,
            0o755,
        )
        .unwrap();
    }
    for made in ["root/a/b", "root/c/d", "root/e"] {
        assert!(tree.0.join(made).is_dir(), "{made}");
    }
    assert_eq!(std::fs::read_dir(&tree.0).unwrap().count(), 1);
}

#[test]
fn links_to_nothing_get_their_target() {
    let tree = Tree::new("dangling");
    symlink("/run", tree.0.join("root/var")).unwrap();
    make_in_root(
        tree.root().as_fd(),
        Path::new("/var/lock"),
        Missing::File,
        0o644,
    )
    .unwrap();
    assert!(tree.0.join("root/run/lock").is_file());
}

#[test]
fn circles_end() {
    let tree = Tree::new("circle");
    symlink("b", tree.0.join("root/a")).unwrap();
    symlink("a", tree.0.join("root/b")).unwrap();
    let error = make_in_root(
        tree.root().as_fd(),
        Path::new("a/x"),
        Missing::Directory,
        0o755,
    )
    .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    let mut walk = Walk::new(tree.root().as_fd()).unwrap();
    walk.links = 0;
    assert_eq!(
        walk.run(Path::new("a/x"), Missing::Directory, 0o755)
            .unwrap_err()
            .raw_os_error(),
        Some(libc::ELOOP)
    );
}

#[test]
fn magic_links_are_refused() {
    let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let error = open_in_root(proc.as_fd(), Path::new("self/root/etc"), OFlags::PATH).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
}

#[test]
fn pipes_are_not_files() {
    let tree = Tree::new("pipe");
    rustix::fs::mknodat(
        tree.root(),
        "etc/passwd",
        FileType::Fifo,
        Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    assert!(read_file(tree.root().as_fd(), Path::new("etc/passwd"), 10).is_err());
    std::fs::write(tree.0.join("root/etc/group"), "0123456789abc").unwrap();
    assert_eq!(
        read_file(tree.root().as_fd(), Path::new("etc/group"), 10).unwrap(),
        b"0123456789"
    );
}

/// A directory of plain files that looks like /proc, and a name that climbs out of its part of the real one.
#[test]
fn settings_go_to_the_real_procfs_only_cve_2025_52881() {
    let tree = Tree::new("proc");
    std::fs::write(tree.0.join("root/etc/setting"), "before").unwrap();
    let fake = write_proc(tree.root().as_fd(), Path::new("etc/setting"), b"after");
    assert_eq!(fake.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(
        std::fs::read_to_string(tree.0.join("root/etc/setting")).unwrap(),
        "before"
    );
    let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for path in [
        "sys/net/../kernel/domainname",
        "self/root/proc/x",
        "../etc/x",
    ] {
        assert!(
            write_proc(proc.as_fd(), Path::new(path), b"x").is_err(),
            "{path}"
        );
    }
}
