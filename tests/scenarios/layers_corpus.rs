//! Odd and hostile layers: the tree that a container sees is the same on directories, on images, and as umoci unpacks it; or the layer
//! is refused, by both stores and with the entry's name.

use crate::layers::OnDisk;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use testkit::{Archive, Host, Item, layout, requires, scenarios};

scenarios!(
    odd_layers_are_the_same_tree_everywhere,
    a_hundred_thousand_entries_in_one_directory_are_all_there,
    hostile_layers_are_refused_with_the_name_of_the_entry,
);

/// Every path with what is there.
type Tree = BTreeMap<Vec<u8>, String>;

/// A program that waits, so that a container can be looked into.
fn base() -> Vec<u8> {
    let program = fs::read("/bin/busybox").expect("busybox, statically linked");
    Archive::default()
        .with(Item::file("busybox", program).mode(0o755))
        .bytes()
}

fn umoci() -> PathBuf {
    let program = PathBuf::from("/usr/bin/umoci");
    requires!(program.exists(), "umoci is not installed");
    requires!(
        Path::new("/bin/busybox").exists(),
        "busybox is not installed"
    );
    program
}

/// The tree of an image of these layers above the base, as a container on it has it.
fn ours(store: &OnDisk<'_>, host: &Host, case: &str, layers: &[Vec<u8>]) -> Tree {
    let dir = host.folder(&format!("layout-{case}"));
    let name = format!("localhost/{case}:latest");
    layout::write(&dir, &name, layers);
    let docker = |words: &str| store.docker(words).env("DOCKLESS_IMAGE_DIR", &dir).ok();
    docker(&format!(
        "run -d --name {case} --network none {name} /busybox sleep 1000"
    ));
    let pid = docker(&format!("inspect --format '{{{{.State.Pid}}}}' {case}"));
    let found = tree(&Path::new("/proc").join(pid.trim()).join("root"));
    docker(&format!("rm -f {case}"));
    docker(&format!("rmi -f {name}"));
    found
}

fn theirs(program: &Path, host: &Host, case: &str, layers: &[Vec<u8>]) -> Tree {
    let dir = host.folder(&format!("umoci-{case}"));
    layout::write(&dir.join("layout"), "x", layers);
    let words = format!("unpack --image {0}/layout:x {0}/bundle", dir.display());
    testkit::Call::tool(program, &words).ok();
    let found = tree(&dir.join("bundle/rootfs"));
    fs::remove_dir_all(&dir).expect("what was unpacked");
    found
}

/// What an engine puts into every container.
fn is_ours(path: &[u8]) -> bool {
    let own: [&[u8]; 6] = [b"proc", b"sys", b"dev", b"etc", b".dockerenv", b"run"];
    own.contains(&path)
}

fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut names: BTreeMap<(u64, u64), Vec<Vec<u8>>> = BTreeMap::new();
    let mut todo = vec![(Vec::new(), root.to_owned())];
    while let Some((path, at)) = todo.pop() {
        for entry in fs::read_dir(&at).expect("a directory") {
            let entry = entry.expect("an entry");
            let mut below: Vec<u8> = path.clone();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(entry.file_name().as_bytes());
            if is_ours(&below) {
                continue;
            }
            let stat = entry.metadata().expect("attributes");
            if stat.is_dir() {
                todo.push((below.clone(), entry.path()));
            } else {
                names
                    .entry((stat.dev(), stat.ino()))
                    .or_default()
                    .push(below.clone());
            }
            tree.insert(below, line(&entry.path(), &stat));
        }
    }
    for group in names.into_values().filter(|group| group.len() > 1) {
        for name in &group {
            tree.entry(name.clone())
                .and_modify(|line| line.push_str(&format!(", one of {}", group.len())));
        }
    }
    tree
}

fn line(path: &Path, stat: &fs::Metadata) -> String {
    let kind = stat.file_type();
    let what = if kind.is_dir() {
        "directory".to_owned()
    } else if kind.is_symlink() {
        let target = fs::read_link(path).expect("a link");
        return format!(
            "-> {:?} {}:{}",
            target.into_os_string().into_vec(),
            stat.uid(),
            stat.gid()
        );
    } else if kind.is_file() {
        format!(
            "file of {} bytes ({:x}) {}",
            stat.len(),
            sum(path, stat.len()),
            stat.mtime()
        )
    } else if kind.is_fifo() {
        "fifo".to_owned()
    } else {
        let letter = if kind.is_block_device() { 'b' } else { 'c' };
        format!(
            "{letter} {}:{}",
            rustix::fs::major(stat.rdev()),
            rustix::fs::minor(stat.rdev())
        )
    };
    format!(
        "{what} {:o} {}:{} {:?}",
        stat.mode() & 0o7777,
        stat.uid(),
        stat.gid(),
        attributes(path)
    )
}

/// Of a file's start and its end: a hole may be of any size.
fn sum(path: &Path, length: u64) -> u64 {
    let file = fs::File::open(path).expect("a file");
    let mut sum = 0u64;
    for at in [0, length.saturating_sub(1 << 20)] {
        let mut data = vec![0; 1 << 20];
        let got = file.read_at(&mut data, at).expect("content");
        sum = data[..got].iter().fold(sum, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
    }
    sum
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = [0u8; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut found = Vec::new();
    for name in names[..length]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
    {
        let name = String::from_utf8_lossy(name).into_owned();
        // Who keeps a merged tree as a directory notes there what it came from.
        if name.starts_with("trusted.overlay.") || name.starts_with("user.rootlesscontainers") {
            continue;
        }
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name.as_str(), &mut value[..]).expect("a value");
        value.truncate(length);
        found.push((name, value));
    }
    found.sort();
    found
}

fn archive(items: &[Item]) -> Vec<u8> {
    let mut archive = Archive::default();
    items.iter().for_each(|item| archive.push(item));
    archive.bytes()
}

/// What the other layers stand on.
fn lower() -> Vec<u8> {
    archive(&[
        Item::directory("d/"),
        Item::file("d/one", "1"),
        Item::file("d/two", "2"),
        Item::directory("d/sub/").mode(0o750).owner(7, 8),
        Item::file("d/sub/deep", "deep").owner(7, 8),
        Item::directory("hidden/"),
        Item::file("hidden/below", "below"),
        Item::file("file", "from below").xattr("user.below", "x"),
        Item::symlink("way", "d"),
    ])
}

/// Names of cases with their layers.
fn cases() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let alone = |items: &[Item]| vec![archive(items)];
    let above = |items: &[Item]| vec![lower(), archive(items)];
    let long = vec![b'n'; 250];
    let far = [b"long/".to_vec(), long.clone(), b"/".to_vec(), long.clone()].concat();
    let folder = [b"long/".to_vec(), long.clone(), b"/".to_vec()].concat();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    vec![
        (
            "hardlinks",
            alone(&[
                Item::directory("a/"),
                Item::file("a/first", "content").mode(0o640).owner(3, 4),
                Item::hard_link("a/second", "a/first"),
                Item::hard_link("third", "a/second"),
                Item::symlink("through", "a"),
                Item::hard_link("fourth", "./a//first"),
                Item::symlink("symbolic", "nowhere"),
                Item::file("a/first", "replaced"),
            ]),
        ),
        (
            "symlinks",
            alone(&[
                Item::directory("real/"),
                Item::symlink("relative", "real"),
                Item::symlink("absolute", "/real"),
                Item::symlink("climbing", "../../../../real"),
                Item::symlink("dangling", "not/there"),
                Item::file("relative/a", "a"),
                Item::file("absolute/b", "b"),
                Item::file("climbing/c", "c"),
                Item::symlink("itself", "itself"),
                Item::file("replaced", "x"),
                Item::symlink("replaced", "/etc/passwd"),
            ]),
        ),
        (
            "whiteouts",
            above(&[
                Item::directory("d/"),
                Item::file("d/.wh.one", ""),
                Item::file("d/.wh.sub", ""),
                Item::file(".wh.file", ""),
                Item::file(".wh.nothing", ""),
                Item::file(".wh.way", ""),
            ]),
        ),
        (
            "opaque",
            above(&[
                Item::directory("hidden/").mode(0o700),
                Item::file("hidden/above", "above"),
                Item::file("hidden/.wh..wh..opq", ""),
                Item::directory("d/"),
                Item::directory("d/sub/"),
                Item::file("d/sub/.wh..wh..opq", ""),
            ]),
        ),
        (
            "again",
            above(&[
                Item::file(".wh.file", ""),
                Item::file("file", "new"),
                Item::directory("d/"),
                Item::file("d/.wh.sub", ""),
                Item::directory("d/sub/"),
                Item::file("d/sub/other", "other"),
            ]),
        ),
        (
            "replacing",
            above(&[
                Item::directory("file/"),
                Item::file("file/in", "in"),
                Item::file("hidden", "a file now"),
                Item::directory("way/"),
                Item::file("way/mine", "mine"),
            ]),
        ),
        (
            "devices",
            alone(&[
                Item::directory("n/"),
                Item::new(b'3', "n/null").device(1, 3).mode(0o666),
                Item::new(b'4', "n/disk")
                    .device(7, 200)
                    .mode(0o660)
                    .owner(0, 6),
                Item::new(b'6', "n/pipe").mode(0o600).owner(1, 1),
            ]),
        ),
        (
            "names",
            alone(&[
                Item::directory("long/"),
                Item::directory(&folder),
                Item::file(&far, "far"),
                Item::hard_link("near", &far),
                Item::symlink("link", &far),
                Item::file("short", "").pax("path", "by/pax/récord"),
                Item::file(b"not\xff\xfeutf-8", "bytes"),
                Item::symlink("odd", b"target\xff"),
                Item::file("new\nline", "1"),
                Item::file("back\\slash, comma:colon \"quoted\"", "2"),
                Item::file("...", "3"),
                Item::file(".wh", "4"),
                Item::file(" ", "5"),
                Item::file("./dotted/./name//twice", "6"),
                Item::file("up/../beside", "7"),
            ]),
        ),
        (
            "sparse",
            alone(&[Item::file("pax", "xyzend")
                .pax("GNU.sparse.major", "0")
                .pax("GNU.sparse.minor", "1")
                .pax("GNU.sparse.size", "80000")
                .pax("GNU.sparse.map", "0,3,70000,3")
                .pax("GNU.sparse.name", "mapped")
                .pax("GNU.sparse.numblocks", "2")]),
        ),
        (
            "attributes",
            alone(&[
                Item::file("plain", "x")
                    .xattr("user.one", "1")
                    .xattr("user.bytes", b"\x00\xff"),
                Item::file("able", "x")
                    .mode(0o755)
                    .xattr("security.capability", capability),
                Item::directory("d/")
                    .xattr("user.dir", "yes")
                    .mode(0o2775)
                    .owner(0, 50),
                Item::file("d/in", "x"),
                Item::directory("d/below/"),
                Item::file("suid", "x").mode(0o4755).owner(5, 5),
                Item::file("sticky", "x").mode(0o1777),
                Item::file("secret", "x")
                    .mode(0)
                    .owner(4_000_000_000, 3_000_000),
                Item::file("old", "x").mtime(1),
            ]),
        ),
        (
            "twice",
            alone(&[
                Item::file("a", "first"),
                Item::file("a", "second").mode(0o600),
                Item::directory("b/").mode(0o700),
                Item::file("b/kept", "kept"),
                Item::directory("b/").mode(0o755).owner(9, 9),
                Item::file("c", "file"),
                Item::directory("c/"),
                Item::file("c/in", "in"),
                Item::directory("e/"),
                Item::file("e/lost", "lost"),
                Item::file("e", "file at last"),
                Item::new(b'6', "f"),
                Item::symlink("f", "a"),
            ]),
        ),
        (
            "implied",
            above(&[
                Item::file("d/sub/more", "more"),
                Item::file("not/mentioned/anywhere", "x"),
            ]),
        ),
    ]
}

/// What umoci does not read.
fn cases_of_ours() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let data = [vec![b'a'; 600], vec![b'b'; 100]].concat();
    let items = [
        Item::file("gnu", data).sparse(100_000, &[(512, 600), (50_000, 100), (100_000, 0)]),
        Item::file("empty", "").sparse(3_000_000, &[(3_000_000, 0)]),
        Item::file("huge", "end").sparse(1 << 32, &[((1 << 32) - 3, 3)]),
    ];
    // An overlay has no links from layer to layer: what a link names below is copied.
    let link = archive(&[Item::hard_link("second", "d/two")]);
    vec![
        ("link-below", vec![lower(), link]),
        ("gnu-sparse", vec![archive(&items[..2])]),
        ("huge-hole", vec![archive(&items[2..])]),
    ]
}

fn odd_layers_are_the_same_tree_everywhere(host: &Host) {
    let umoci = umoci();
    let files = OnDisk::new(host, "erofs");
    let directories = OnDisk::new(host, "directories");
    let mut differences = Vec::new();
    for (case, mut layers) in cases() {
        layers.insert(0, base());
        let expected = theirs(&umoci, host, case, &layers);
        for (form, store) in [("erofs", &files), ("directories", &directories)] {
            let found = ours(store, host, case, &layers);
            differences.extend(compare(&format!("{case}, {form}"), &found, &expected));
        }
    }
    for (case, mut layers) in cases_of_ours() {
        layers.insert(0, base());
        let (one, other) = (
            ours(&files, host, case, &layers),
            ours(&directories, host, case, &layers),
        );
        differences.extend(compare(case, &one, &other));
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

fn compare(what: &str, found: &Tree, expected: &Tree) -> Vec<String> {
    let mut paths: Vec<_> = found.keys().chain(expected.keys()).collect();
    paths.sort();
    paths.dedup();
    let differs = paths
        .into_iter()
        .filter(|path| found.get(*path) != expected.get(*path));
    differs
        .map(|path| {
            let shown = String::from_utf8_lossy(path);
            format!(
                "{what}: {shown}: {:?}, and as umoci has it {:?}",
                found.get(path),
                expected.get(path)
            )
        })
        .collect()
}

fn a_hundred_thousand_entries_in_one_directory_are_all_there(host: &Host) {
    let umoci = umoci();
    let mut archive = Archive::default();
    archive.push(&Item::directory("many/"));
    for number in 0..100_000 {
        archive.push(&Item::file(format!("many/{number}"), ""));
    }
    let layers = [base(), archive.bytes()];
    let expected = theirs(&umoci, host, "many", &layers);
    assert_eq!(expected.len(), 100_002);
    for form in ["erofs", "directories"] {
        let store = OnDisk::new(host, form);
        let found = ours(&store, host, "many", &layers);
        assert_eq!(compare(form, &found, &expected), Vec::<String>::new());
    }
}

fn hostile_layers_are_refused_with_the_name_of_the_entry(host: &Host) {
    let name_of_256 = vec![b'x'; 256];
    let link_of_5000 = vec![b'y'; 5000];
    let hostile: Vec<(Vec<Item>, &str)> = vec![
        (vec![Item::file("../outside", "x")], "../outside"),
        (vec![Item::file("a/../../outside", "x")], "a/../../outside"),
        (
            vec![Item::hard_link("passwd", "../../etc/passwd")],
            "../../etc/passwd",
        ),
        (vec![Item::hard_link("nobody", "has/this")], "nobody"),
        (
            vec![Item::directory("dir/"), Item::hard_link("again", "dir")],
            "again",
        ),
        (
            vec![Item::symlink("loop", "loop"), Item::file("loop/in", "x")],
            "loop",
        ),
        (vec![Item::file("", "no name")], "\"\""),
        (vec![Item::symlink("/", "root")], "\"/\""),
        (vec![Item::file("d/.wh.", "")], "d/.wh."),
        (vec![Item::file("d/.wh...", "")], "d/.wh..."),
        (vec![Item::file(".wh.d/in", "")], ".wh.d/in"),
        (vec![Item::file(&name_of_256, "long")], "xxxxxxxx"),
        (vec![Item::symlink("toolong", &link_of_5000)], "toolong"),
        (vec![Item::new(b'Z', "unheard-of")], "unheard-of"),
        (
            vec![Item::file("holes", "x").sparse(1, &[(100, 1)])],
            "holes",
        ),
        (
            vec![Item::file("turned", "x").sparse(1000, &[(500, 1), (100, 1)])],
            "turned",
        ),
    ];
    for form in ["erofs", "directories"] {
        let store = OnDisk::new(host, form);
        for (number, (items, name)) in hostile.iter().enumerate() {
            let dir = host.folder(&format!("{form}-{number}"));
            let image = format!("localhost/hostile:{number}");
            layout::write(&dir, &image, &[archive(items)]);
            let pull = store
                .docker(&format!("pull -q {image}"))
                .env("DOCKLESS_IMAGE_DIR", &dir);
            pull.fails(1).says(&[name]);
            assert!(store.forms().is_empty(), "{name}: nothing stays behind");
        }
    }
    assert!(!Path::new("/outside").exists());
}
