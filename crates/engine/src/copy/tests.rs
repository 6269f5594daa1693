//! What lands where, and what an archive may not do. On plain directories: the host's view.

use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(folder.path("src/sub")).unwrap();
        fs::write(folder.path("src/one"), "1").unwrap();
        fs::write(folder.path("src/sub/two"), "2").unwrap();
        folder
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn copy(&self, source: &str, target: &str) -> Result<()> {
        self.copy_with(source, target, Options::default())
    }

    fn copy_with(&self, source: &str, target: &str, options: Options) -> Result<()> {
        let host = View::host().unwrap();
        let whole = |path: &str| format!("{}/{path}", self.0.path().display());
        transfer(&host, &whole(source), &host, &whole(target), options)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }
}

#[test]
fn paths_are_taken_from_the_root() {
    assert_eq!(normal("a/./b/../c/"), Path::new("/a/c"));
    assert_eq!(normal("../../etc"), Path::new("/etc"));
    assert_eq!(normal("/"), Path::new("/"));
}

#[test]
fn a_file_becomes_a_file_or_lands_in_a_directory() {
    let folder = Folder::new();
    folder.copy("src/one", "new").unwrap();
    assert_eq!(folder.read("new"), "1");
    fs::write(folder.path("old"), "old and long").unwrap();
    folder.copy("src/one", "old").unwrap();
    assert_eq!(folder.read("old"), "1");
    fs::create_dir(folder.path("dir")).unwrap();
    folder.copy("src/one", "dir").unwrap();
    folder.copy("src/sub/two", "dir/").unwrap();
    assert_eq!(folder.read("dir/one") + &folder.read("dir/two"), "12");
}

#[test]
fn a_directory_becomes_the_new_one_or_lands_in_the_old_one() {
    let folder = Folder::new();
    folder.copy("src", "new").unwrap();
    assert_eq!(folder.read("new/sub/two"), "2");
    folder.copy("src", "new").unwrap();
    assert_eq!(folder.read("new/src/sub/two"), "2");
    fs::create_dir(folder.path("dir")).unwrap();
    folder.copy("src/.", "dir").unwrap();
    assert_eq!(folder.read("dir/one"), "1");
    assert!(!folder.path("dir/src").exists());
}

#[test]
fn what_cannot_land_is_refused() {
    let folder = Folder::new();
    let said = |source: &str, target: &str| folder.copy(source, target).unwrap_err().to_string();
    assert!(said("src/none", "x").starts_with("Could not find the file"));
    assert!(said("src/one", "no/where").contains("in the destination"));
    assert!(said("src/one", "no/").starts_with("no such directory"));
    assert!(said("src", "src/one").starts_with("cannot copy directory"));
    assert!(said("src/one/", "x/y").contains("in the destination"));
}

#[test]
fn modes_times_links_and_owners_are_kept_as_asked() {
    let folder = Folder::new();
    fs::set_permissions(folder.path("src/one"), fs::Permissions::from_mode(0o751)).unwrap();
    symlink("one", folder.path("src/link")).unwrap();
    std::os::unix::fs::chown(folder.path("src/one"), Some(12), Some(34)).unwrap();
    folder.copy("src", "plain").unwrap();
    let (before, after) = (
        fs::metadata(folder.path("src/one")).unwrap(),
        fs::metadata(folder.path("plain/one")).unwrap(),
    );
    assert_eq!((after.mode() & 0o7777, after.uid()), (0o751, 0));
    assert_eq!(before.mtime(), after.mtime());
    let target = fs::read_link(folder.path("plain/link")).unwrap();
    assert_eq!(target, Path::new("one"));
    let archive = Options {
        archive: true,
        follow: false,
    };
    folder.copy_with("src", "archived", archive).unwrap();
    let kept = fs::metadata(folder.path("archived/one")).unwrap();
    assert_eq!((kept.uid(), kept.gid()), (12, 34));
    let follow = Options {
        archive: false,
        follow: true,
    };
    folder.copy("src/link", "link").unwrap();
    assert!(folder.path("link").is_symlink());
    folder.copy_with("src/link", "followed", follow).unwrap();
    assert!(!folder.path("followed").is_symlink());
    assert_eq!(folder.read("followed"), "1");
}

/// An archive written by somebody who means harm.
fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        // The crate itself refuses to write such names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let data = if *kind == tar::EntryType::Regular {
            content.as_bytes()
        } else {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            &[]
        };
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Unpacks below `target` and says how it went.
fn unpacked(folder: &Folder, entries: &[(&str, tar::EntryType, &str)]) -> Result<()> {
    fs::create_dir_all(folder.path("target")).unwrap();
    let bytes = archive(entries);
    let host = View::host().unwrap();
    let target = folder.path("target");
    unpack(&host, &target, Owner::Root, &mut bytes.as_slice())
}

use tar::EntryType::{Link, Regular, Symlink};

#[test]
fn names_that_lead_out_are_refused_and_absolute_ones_are_taken_from_the_directory() {
    let folder = Folder::new();
    for name in ["../evil", "a/../../evil"] {
        assert!(
            unpacked(&folder, &[(name, Regular, "x")]).is_err(),
            "{name}"
        );
    }
    assert!(!folder.path("evil").exists());
    unpacked(&folder, &[("/good", Regular, "x")]).unwrap();
    assert_eq!(folder.read("target/good"), "x");
}

/// CVE-2018-15664, CVE-2024-21626's cousin: a link made by one entry, and a file through it by the next.
#[test]
fn a_file_through_a_link_of_the_same_archive_does_not_leave_the_directory_cve_2018_15664() {
    let folder = Folder::new();
    fs::create_dir(folder.path("outside")).unwrap();
    let outside = folder.path("outside").display().to_string();
    for link in [outside.as_str(), "../outside"] {
        let entries = [("out", Symlink, link), ("out/evil", Regular, "x")];
        assert!(unpacked(&folder, &entries).is_err(), "{link}");
        assert!(!folder.path("outside/evil").exists(), "{link}");
    }
    // In place of the link itself a file may be put.
    unpacked(&folder, &[("out", Regular, "x")]).unwrap();
    assert_eq!(folder.read("target/out"), "x");
    assert!(!folder.path("target/out").is_symlink());
}

#[test]
fn a_hard_link_leads_only_to_what_lies_in_the_directory() {
    let folder = Folder::new();
    fs::write(folder.path("secret"), "secret").unwrap();
    assert!(unpacked(&folder, &[("hard", Link, "../secret")]).is_err());
    let secret = folder.path("secret").display().to_string();
    assert!(unpacked(&folder, &[("hard", Link, &secret)]).is_err());
    let through = [("out", Symlink, ".."), ("hard", Link, "out/secret")];
    assert!(unpacked(&folder, &through).is_err());
    assert!(!folder.path("target/hard").exists());
    unpacked(&folder, &[("a", Regular, "x"), ("b", Link, "a")]).unwrap();
    let inode = |name: &str| fs::metadata(folder.path(name)).unwrap().ino();
    assert_eq!(inode("target/a"), inode("target/b"));
}

#[test]
fn an_archive_cut_in_the_middle_is_an_error() {
    let folder = Folder::new();
    fs::create_dir(folder.path("target")).unwrap();
    let bytes = archive(&[("file", Regular, &"x".repeat(4000))]);
    let host = View::host().unwrap();
    let target = folder.path("target");
    assert!(unpack(&host, &target, Owner::Root, &mut &bytes[..2000]).is_err());
    assert!(unpack(&host, &target, Owner::Root, &mut &b"no tar at all"[..]).is_err());
}

/// A container's root, and a directory beside it that is none of its business.
fn container(folder: &Folder) -> View {
    fs::create_dir_all(folder.path("root/data/dir")).unwrap();
    fs::create_dir_all(folder.path("outside/dir")).unwrap();
    fs::write(folder.path("outside/dir/secret"), "secret").unwrap();
    View {
        root: open_directory(&folder.path("root")).unwrap(),
        mounts: Vec::new(),
        below: Links::Followed,
        ids: None,
    }
}

/// While files are copied to and fro, the container swaps a directory for a link that leads to the host's.
#[test]
fn a_directory_swapped_during_the_copy_leads_nowhere_else_cve_2018_15664() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let folder = Folder::new();
    let inside = container(&folder);
    let data = folder.path("root/data");
    let up = format!(
        "../../../../../../../../..{}",
        folder.path("outside/dir").display()
    );
    symlink(up, data.join("link")).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let dir = fs::File::open(&data).unwrap();
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            while !over.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(&dir, "dir", &dir, "link", exchange).unwrap();
            }
        });
        let bytes = archive(&[
            ("evil", Regular, "x"),
            ("sub", tar::EntryType::Directory, ""),
        ]);
        let (mut rounds, mut arrived) = (0, 0);
        // On a busy host the other thread may win for long.
        while rounds < 400 || (arrived == 0 && rounds < 1_000_000) {
            rounds += 1;
            let mut source = bytes.as_slice();
            let target = Path::new("/data/dir");
            arrived += usize::from(unpack(&inside, target, Owner::Root, &mut source).is_ok());
            let mut read = Vec::new();
            let _ = pack(&inside, Path::new("/data"), "data", false, &mut read);
            let found = read.windows(6).any(|w| w == b"secret");
            assert!(!found, "the host's file was read");
        }
        over.store(true, Ordering::Relaxed);
        assert!(arrived > 0, "some get through");
    });
    let names: Vec<_> = fs::read_dir(folder.path("outside/dir")).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing was written outside");
}

/// What a container marks set-user-id or makes a device does not become one for everybody on the host.
#[test]
fn rights_are_not_lent_to_the_host() {
    let folder = Folder::new();
    fs::create_dir(folder.path("target")).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, uid, mode) in [
        ("suid", Regular, 0, 0o4755),
        ("users", Regular, 1000, 0o6755),
        ("disk", tar::EntryType::Block, 0, 0o666),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(0);
        header.set_size(0);
        header.set_device_major(8).unwrap();
        header.set_device_minor(0).unwrap();
        builder.append_data(&mut header, name, &b""[..]).unwrap();
    }
    let bytes = builder.into_inner().unwrap();
    let mode = |name: &str| fs::metadata(folder.path(name)).unwrap().mode() & 0o7777;
    let target = folder.path("target");
    let host = View::host().unwrap();
    unpack(&host, &target, Owner::Root, &mut bytes.as_slice()).unwrap();
    assert_eq!(mode("target/suid"), 0o755);
    assert_eq!(mode("target/users"), 0o755);
    assert_eq!(mode("target/disk"), 0o600);
    // In a container root's own program keeps it, as in Docker, and with `-a` everything.
    let inside = container(&folder);
    unpack(
        &inside,
        Path::new("/data"),
        Owner::Root,
        &mut bytes.as_slice(),
    )
    .unwrap();
    assert_eq!(mode("root/data/suid"), 0o4755);
    assert_eq!(mode("root/data/users"), 0o755);
    unpack(&host, &target, Owner::Keep, &mut bytes.as_slice()).unwrap();
    assert_eq!(mode("target/users"), 0o6755);
}

#[test]
fn a_directory_of_many_files_takes_few_descriptors() {
    let folder = Folder::new();
    fs::create_dir(folder.path("many")).unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let count = limit.current.unwrap_or(4096).min(4096) + 100;
    for number in 0..count {
        fs::write(folder.path("many").join(number.to_string()), "").unwrap();
    }
    folder.copy("many", "copy").unwrap();
    let copied = fs::read_dir(folder.path("copy")).unwrap().count();
    assert_eq!(copied as u64, count);
}
