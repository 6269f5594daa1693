//! Images of every kind of file, mounted from a file without a loop device (Linux 6.12).

use crate::view::{identity, mount, mounted, names, said, shown, write};
use erofs::{Attributes, Body, Chunks, Content, HEAD, Node, NodeId, Tree};
use std::collections::BTreeMap;
use std::path::Path;
use sys::mount::{Flags, FsContext};
use testkit::{Host, requires, scenarios};

scenarios!(
    every_kind_of_file_is_as_it_was_said,
    names_of_all_lengths_and_bytes_are_found,
    a_hundred_thousand_entries_in_one_directory,
    links_of_all_lengths_lead_where_they_should,
    a_sparse_file_has_its_holes,
    attributes_of_all_sizes_are_read_back,
    overlayfs_takes_whiteouts_and_opaque_directories,
    trees_made_at_random,
);

fn able(dir: &Path) -> bool {
    let probe = dir.join("probe.erofs");
    write(&Tree::new(Attributes::default()), b"", &probe);
    mounted(&probe).is_ok()
}

fn place() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    requires!(
        able(dir.path()),
        "this kernel mounts no EROFS image from a file (Linux 6.12)"
    );
    dir
}

fn node(mode: u16, body: Body) -> Node {
    let attributes = Attributes {
        mode,
        uid: 1000,
        gid: 70_000,
        mtime: (1_700_000_000, 123_456_789),
        ..Attributes::default()
    };
    Node { attributes, body }
}

fn directory() -> Node {
    node(0o755, Body::Directory(BTreeMap::new()))
}

fn file(offset: u64, size: u64) -> Node {
    node(
        0o644,
        Body::File(Content::Flat {
            offset: HEAD as u64 + offset,
            size,
        }),
    )
}

fn symlink(target: &[u8]) -> Node {
    node(0o777, Body::Symlink(target.into()))
}

fn new_tree() -> Tree {
    Tree::new(Attributes {
        mode: 0o755,
        ..Attributes::default()
    })
}

fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn check(tree: &Tree, data: &[u8], dir: &Path) -> std::os::fd::OwnedFd {
    let root = mount(tree, data, &dir.join("image.erofs"));
    let (said, shown) = (said(tree, data), shown(&root));
    for (path, line) in &said {
        let path_shown = String::from_utf8_lossy(path);
        assert_eq!(shown.get(path), Some(line), "{path_shown}");
    }
    assert_eq!(said.len(), shown.len());
    root
}

fn every_kind_of_file_is_as_it_was_said(_: &Host) {
    let dir = place();
    let bytes = data(5000);
    let mut tree = new_tree();
    let etc = tree.insert(Tree::ROOT, b"etc", directory());
    let one = tree.insert(etc, b"one", file(0, 1));
    tree.insert(etc, b"block", file(512, 512));
    tree.insert(etc, b"long", file(1024, 3976));
    tree.insert(etc, b"empty", file(0, 0));
    tree.link(Tree::ROOT, b"again", one);
    tree.insert(Tree::ROOT, b"suid", {
        let mut n = file(0, 100);
        n.attributes.mode = 0o4755;
        n
    });
    tree.insert(Tree::ROOT, b"old", {
        let mut n = file(0, 3);
        n.attributes.mtime = (-86_400, 1);
        n
    });
    tree.insert(
        Tree::ROOT,
        b"null",
        node(0o666, Body::CharDevice { major: 1, minor: 3 }),
    );
    tree.insert(
        Tree::ROOT,
        b"many",
        node(
            0o600,
            Body::BlockDevice {
                major: 4000,
                minor: 0xabcde,
            },
        ),
    );
    tree.insert(Tree::ROOT, b"pipe", node(0o622, Body::Fifo));
    tree.insert(
        Tree::ROOT,
        b"gone",
        node(0, Body::CharDevice { major: 0, minor: 0 }),
    );
    tree.insert(etc, b"replaced", file(0, 9));
    tree.insert(etc, b"replaced", directory());
    tree.insert(etc, b"removed", directory());
    tree.remove(etc, b"removed");
    let root = check(&tree, &bytes, dir.path());
    assert_eq!(identity(&root, "etc/one"), identity(&root, "again"));
    assert_eq!(identity(&root, "etc/one").1, 2);
    assert_eq!(
        identity(&root, "etc").1,
        3,
        "itself, `.`, and the `..` of one directory"
    );
    assert_eq!(identity(&root, ".").1, 3);
}

fn names_of_all_lengths_and_bytes_are_found(_: &Host) {
    let dir = place();
    let mut tree = new_tree();
    for length in 1..=255 {
        tree.insert(Tree::ROOT, &vec![b'n'; length], file(0, length as u64));
    }
    for byte in (1..=255u8).filter(|b| !matches!(b, b'/' | b'.')) {
        tree.insert(Tree::ROOT, &[byte], symlink(&[byte]));
        tree.insert(Tree::ROOT, &[b'.', byte], symlink(&[byte]));
    }
    tree.insert(Tree::ROOT, b"...", directory());
    check(&tree, &data(512), dir.path());
}

fn a_hundred_thousand_entries_in_one_directory(_: &Host) {
    let dir = place();
    let mut tree = new_tree();
    let full = tree.insert(Tree::ROOT, b"full", directory());
    for number in 0..100_000u64 {
        tree.insert(
            full,
            format!("entry-{number}").as_bytes(),
            file(0, number % 512),
        );
    }
    let image = dir.path().join("image.erofs");
    let root = mount(&tree, &data(512), &image);
    for number in [0, 1, 9, 10, 99_999, 50_000, 12_345] {
        let path = format!("full/entry-{number}");
        let stat = rustix::fs::statat(&root, path.as_str(), rustix::fs::AtFlags::empty()).unwrap();
        assert_eq!(stat.st_size as u64, number % 512, "{path}");
    }
    let missing = rustix::fs::statat(&root, "full/entry-100000", rustix::fs::AtFlags::empty());
    assert_eq!(missing.unwrap_err(), rustix::io::Errno::NOENT);
    assert_eq!(shown(&root).len(), 100_002);
}

fn links_of_all_lengths_lead_where_they_should(_: &Host) {
    let dir = place();
    let mut tree = new_tree();
    for length in (1..700).chain([1000, 2048, 4094, 4095]) {
        let mut link = symlink(&vec![b'x'; length]);
        if length % 3 == 0 {
            link.attributes
                .xattrs
                .insert(b"trusted.note".to_vec(), vec![1; length % 200]);
        }
        tree.insert(Tree::ROOT, format!("{length}").as_bytes(), link);
    }
    check(&tree, b"", dir.path());
}

fn a_sparse_file_has_its_holes(_: &Host) {
    let dir = place();
    let bytes = data(3 * 4096);
    let at = |piece: u64| Some(HEAD as u64 + piece * 4096);
    let mut tree = new_tree();
    let chunks = Chunks {
        doublings: 3,
        offsets: vec![None, at(1), None, None, at(0), at(2), None],
    };
    let content = Content::Sparse {
        size: 6 * 4096 + 100,
        chunks,
    };
    tree.insert(Tree::ROOT, b"sparse", node(0o600, Body::File(content)));
    let small = Chunks {
        doublings: 0,
        offsets: vec![Some(HEAD as u64 + 512), None, Some(HEAD as u64)],
    };
    let mut with_attributes = node(
        0o600,
        Body::File(Content::Sparse {
            size: 1100,
            chunks: small,
        }),
    );
    with_attributes
        .attributes
        .xattrs
        .insert(b"user.a".to_vec(), b"b".to_vec());
    tree.insert(Tree::ROOT, b"small", with_attributes);
    let huge = Chunks {
        doublings: 21,
        offsets: vec![None; 1000],
    };
    tree.insert(
        Tree::ROOT,
        b"nothing",
        node(
            0o600,
            Body::File(Content::Sparse {
                size: 0,
                chunks: Chunks {
                    doublings: 0,
                    offsets: vec![],
                },
            }),
        ),
    );
    let image = dir.path().join("image.erofs");
    let root = check(&tree, &bytes, dir.path());
    drop(root);
    tree.insert(
        Tree::ROOT,
        b"huge",
        node(
            0o600,
            Body::File(Content::Sparse {
                size: 1000 << 30,
                chunks: huge,
            }),
        ),
    );
    let root = mount(&tree, &bytes, &image);
    let stat = rustix::fs::statat(&root, "huge", rustix::fs::AtFlags::empty()).unwrap();
    assert_eq!(stat.st_size, 1000 << 30);
}

fn attributes_of_all_sizes_are_read_back(_: &Host) {
    let dir = place();
    let mut tree = new_tree();
    for size in [0, 1, 3, 4, 400, 511, 512, 513, 4000, 20_000] {
        let mut with = file(0, 10);
        with.attributes
            .xattrs
            .insert(b"user.value".to_vec(), vec![b'v'; size]);
        with.attributes
            .xattrs
            .insert(b"trusted.overlay.origin".to_vec(), vec![b'o'; size % 7]);
        with.attributes
            .xattrs
            .insert(b"security.capability".to_vec(), [1, 0, 0, 2].repeat(5));
        tree.insert(Tree::ROOT, format!("{size}").as_bytes(), with);
    }
    let longest = [b"user.".as_slice(), &[b'n'; 250]].concat();
    let mut with = directory();
    with.attributes.xattrs.insert(longest, b"x".to_vec());
    tree.insert(Tree::ROOT, b"named", with);
    check(&tree, &data(512), dir.path());
}

fn overlayfs_takes_whiteouts_and_opaque_directories(_: &Host) {
    let dir = place();
    let mut lower = new_tree();
    let kept = lower.insert(Tree::ROOT, b"kept", directory());
    lower.insert(kept, b"below", file(0, 1));
    let hidden = lower.insert(Tree::ROOT, b"hidden", directory());
    lower.insert(hidden, b"below", file(0, 1));
    lower.insert(Tree::ROOT, b"gone", file(0, 1));
    let mut upper = new_tree();
    let kept = upper.insert(Tree::ROOT, b"kept", directory());
    upper.insert(kept, b"above", file(0, 1));
    let mut opaque = directory();
    opaque
        .attributes
        .xattrs
        .insert(b"trusted.overlay.opaque".to_vec(), b"y".to_vec());
    let hidden = upper.insert(Tree::ROOT, b"hidden", opaque);
    upper.insert(hidden, b"above", file(0, 1));
    upper.insert(
        Tree::ROOT,
        b"gone",
        node(0, Body::CharDevice { major: 0, minor: 0 }),
    );

    let context = FsContext::open("overlay").unwrap();
    for (name, tree) in [("upper", &upper), ("lower", &lower)] {
        let at = dir.path().join(name);
        std::fs::create_dir(&at).unwrap();
        let mounted = mount(tree, &data(512), &dir.path().join(format!("{name}.erofs")));
        let place = sys::mount::open_root(&at).unwrap();
        sys::mount::attach(
            std::os::fd::AsFd::as_fd(&mounted),
            std::os::fd::AsFd::as_fd(&place),
        )
        .unwrap();
        context.set("lowerdir+", at.as_path()).unwrap();
    }
    let merged = context.create(Flags::MOUNT_ATTR_RDONLY).unwrap();
    let at = dir.path().join("upper");
    let place = sys::mount::open_root(&at).unwrap();
    sys::mount::attach(
        std::os::fd::AsFd::as_fd(&merged),
        std::os::fd::AsFd::as_fd(&place),
    )
    .unwrap();
    assert_eq!(names(&at), ["hidden", "kept"]);
    assert_eq!(names(&at.join("kept")), ["above", "below"]);
    assert_eq!(names(&at.join("hidden")), ["above"]);
}

/// A generator of numbers that are the same at every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn trees_made_at_random(_: &Host) {
    let dir = place();
    let bytes = data(64 << 10);
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let mut tree = new_tree();
        let mut directories: Vec<NodeId> = vec![Tree::ROOT];
        for step in 0..numbers.below(400) {
            let at = directories[numbers.below(directories.len() as u64) as usize];
            let name = vec![b'a' + numbers.below(26) as u8; 1 + numbers.below(60) as usize];
            if tree.child(at, &name).is_some() {
                continue;
            }
            let mut new = match numbers.below(5) {
                0 => directory(),
                1 => symlink(&vec![b't'; 1 + numbers.below(600) as usize]),
                2 => node(0o600, Body::Fifo),
                _ => file(512 * numbers.below(64), numbers.below(32 << 10)),
            };
            for _ in 0..numbers.below(3) {
                let key = format!("trusted.{}", numbers.below(1000));
                new.attributes.xattrs.insert(
                    key.into_bytes(),
                    vec![step as u8; numbers.below(300) as usize],
                );
            }
            let is_directory = matches!(new.body, Body::Directory(_));
            let id = tree.insert(at, &name, new);
            if is_directory {
                directories.push(id);
            } else if numbers.below(4) == 0 {
                tree.link(at, format!("again-{step}").as_bytes(), id);
            }
        }
        check(&tree, &bytes, dir.path());
    }
}
