//! COPY, ADD, WORKDIR: where files land and what they become.

use crate::Test;
use crate::site::{Site, describe};
use build::{ContextSource, NamedContext};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

pub(crate) const TESTS: &[Test] = &[
    (
        "files_land_where_docker_puts_them",
        files_land_where_docker_puts_them,
    ),
    ("owners_and_modes", owners_and_modes),
    ("links_stay_in_the_context", links_stay_in_the_context),
    ("ignored_files_do_not_exist", ignored_files_do_not_exist),
    ("excludes_and_parents", excludes_and_parents),
    ("archives_are_unpacked_by_add", archives_are_unpacked_by_add),
    ("heredocs_become_files", heredocs_become_files),
    ("the_context_may_be_a_stream", the_context_may_be_a_stream),
    ("other_contexts_and_images", other_contexts_and_images),
    ("special_files_and_hard_links", special_files_and_hard_links),
];

fn files_land_where_docker_puts_them() {
    let site = Site::new();
    site.write("a", "a");
    site.write("dir/one", "1");
    site.write("dir/sub/two", "2");
    site.write("x1.txt", "x1");
    site.write("x2.txt", "x2");
    let (image, _) = site.build(
        "FROM busybox\nCOPY a /new/name\nCOPY a /new/\nCOPY a /tmp\nCOPY dir /d\nCOPY dir/ a /e/\nCOPY x*.txt /t/\n\
         WORKDIR /w\nCOPY a .\nCOPY a sub/\nRUN mkdir -p /deep/x && ln -s /deep/x /l\nCOPY a /l/\nCOPY dir /deep\n",
    );
    for (path, content) in [
        ("/new/name", "a"),
        ("/new/a", "a"),
        ("/tmp/a", "a"),
        ("/d/one", "1"),
        ("/d/sub/two", "2"),
        ("/e/one", "1"),
        ("/e/a", "a"),
        ("/t/x1.txt", "x1"),
        ("/t/x2.txt", "x2"),
        ("/w/a", "a"),
        ("/w/sub/a", "a"),
        ("/deep/x/a", "a"),
        ("/deep/sub/two", "2"),
    ] {
        assert_eq!(image.read(path), content, "{path}");
    }
    let over = site
        .failure(site.options("FROM busybox\nCOPY dir /bin/busybox\n"))
        .0;
    assert!(
        describe(&over).contains("/bin/busybox"),
        "{}",
        describe(&over)
    );
    let several = site
        .failure(site.options("FROM busybox\nCOPY x*.txt /y\n"))
        .0;
    assert!(
        several
            .to_string()
            .contains("must be a directory and end with a /"),
        "{several}"
    );
}

fn owners_and_modes() {
    let site = Site::new();
    site.write("dir/f", "f");
    fs::set_permissions(
        site.context_dir().join("dir/f"),
        PermissionsExt::from_mode(0o640),
    )
    .unwrap();
    std::os::unix::fs::chown(site.context_dir().join("dir/f"), Some(77), Some(88)).unwrap();
    let (image, _) = site.build(
        "FROM busybox\nRUN echo app:x:1000:1001::/:/bin/sh >> /etc/passwd && echo staff:x:50: >> /etc/group\n\
         COPY dir /plain\nCOPY --chown=app:staff dir /named/\nCOPY --chown=7 --chmod=751 dir/f /n\n\
         COPY --chmod=u+x,go= dir/f /s\nUSER app\nWORKDIR /home/app\n",
    );
    assert_eq!(image.attributes("/plain/f"), "640 0:0");
    assert_eq!(image.attributes("/named/f"), "640 1000:50");
    assert_eq!(image.attributes("/named"), "755 1000:50");
    assert_eq!(image.attributes("/n"), "751 7:7");
    assert_eq!(image.attributes("/s"), "700 0:0");
    assert_eq!(image.attributes("/home/app"), "755 1000:1001");
    let error = site
        .failure(site.options("FROM busybox\nCOPY --chown=nobodyhere dir /x\n"))
        .0;
    assert!(
        error.to_string().contains("no user \"nobodyhere\""),
        "{error}"
    );
}

fn links_stay_in_the_context() {
    let site = Site::new();
    site.write("secret.txt", "inside");
    symlink("/etc/passwd", site.context_dir().join("absolute")).unwrap();
    symlink("../../../../../../../etc", site.context_dir().join("up")).unwrap();
    symlink("secret.txt", site.context_dir().join("fine")).unwrap();
    let (image, _) = site.build("FROM busybox\nCOPY fine /f\nCOPY . /all/\n");
    assert_eq!(image.read("/f"), "inside");
    assert!(
        image.path("/all/absolute").unwrap().is_symlink(),
        "a link below a directory stays a link"
    );
    for source in ["absolute", "up/passwd", "../context/secret.txt/x"] {
        let error = site
            .failure(site.options(&format!("FROM busybox\nCOPY {source} /x\n")))
            .0;
        assert!(
            error.to_string().contains("not found in the build context"),
            "{source}: {error}"
        );
    }
    // A link in the image may not lead the copy out of it either.
    let target = site.dir.join("outside");
    let file = format!(
        "FROM busybox\nRUN ln -s {} /out\nCOPY secret.txt /out\n",
        target.display()
    );
    site.build(&file);
    assert!(!target.exists());
}

fn ignored_files_do_not_exist() {
    let site = Site::new();
    for path in [
        "keep",
        "log.tmp",
        "node_modules/a",
        "docs/a.md",
        "docs/README.md",
    ] {
        site.write(path, path);
    }
    site.write(
        ".dockerignore",
        "*.tmp\nnode_modules\ndocs\n!docs/README.md\n",
    );
    let (image, _) = site.build("FROM busybox\nCOPY . /c/\n");
    assert!(image.path("/c/keep").is_some() && image.path("/c/docs/README.md").is_some());
    assert!(image.path("/c/log.tmp").is_none() && image.path("/c/node_modules").is_none());
    assert!(image.path("/c/docs/a.md").is_none());
    let (error, _) = site.failure(site.options("FROM busybox\nCOPY node_modules/a /x\n"));
    let text = error.to_string();
    assert!(
        text.contains("\"/node_modules/a\" not found") && text.contains(".dockerignore:2"),
        "{text}"
    );
    assert_eq!(error.excerpt.unwrap().lines.first, 2);
    let file = "FROM busybox\nRUN --mount=type=bind,target=/m ls -R /m > /list\n";
    let list = site.build(file).0.read("/list");
    assert!(
        list.contains("README.md") && !list.contains("a.md") && !list.contains("node_modules"),
        "{list}"
    );
}

fn excludes_and_parents() {
    let site = Site::new();
    for path in [
        "src/a.rs",
        "src/deep/b.rs",
        "src/deep/c.txt",
        "one/x/f",
        "two/x/f",
    ] {
        site.write(path, path);
    }
    let (image, _) = site.build(
        "FROM busybox\nCOPY --exclude=**/*.txt src /e\nCOPY --parents one/x/f two/x/f /p/\nCOPY --parents src/**/*.rs /r/\n\
         COPY --parents one/./x/f /pivot/\n",
    );
    assert!(image.path("/e/deep/b.rs").is_some() && image.path("/e/deep/c.txt").is_none());
    assert_eq!(
        image.read("/p/one/x/f") + &image.read("/p/two/x/f"),
        "one/x/ftwo/x/f"
    );
    assert!(image.path("/r/src/a.rs").is_some() && image.path("/r/src/deep/b.rs").is_some());
    assert!(image.path("/r/src/deep/c.txt").is_none());
    assert!(image.path("/pivot/x/f").is_some());
}

fn archive(gzip: bool) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in [("in/a", "a"), ("in/b", "b")] {
        let mut header = tar::Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(5);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    let plain = builder.into_inner().unwrap();
    if !gzip {
        return plain;
    }
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    encoder.finish().unwrap()
}

fn archives_are_unpacked_by_add() {
    let site = Site::new();
    fs::write(site.context_dir().join("plain.tar"), archive(false)).unwrap();
    fs::write(site.context_dir().join("packed.bin"), archive(true)).unwrap();
    fs::write(site.context_dir().join("other.tar.xz"), b"\xfd7zXZ\0...").unwrap();
    site.write("text", "t");
    let (image, _) = site.build(
        "FROM busybox\nADD plain.tar /p/\nADD packed.bin /g\nADD --unpack=false plain.tar /kept.tar\nADD text /t/\n\
         COPY plain.tar /c/\n",
    );
    assert_eq!(image.read("/p/in/a") + &image.read("/g/in/b"), "ab");
    assert_eq!(image.attributes("/p/in/a"), "644 5:0");
    assert!(
        image.path("/kept.tar").unwrap().is_file() && image.path("/c/plain.tar").unwrap().is_file()
    );
    assert_eq!(image.read("/t/text"), "t");
    let error = site
        .failure(site.options("FROM busybox\nADD other.tar.xz /x/\n"))
        .0;
    assert!(
        error.to_string().contains("cannot be unpacked yet"),
        "{error}"
    );
}

fn heredocs_become_files() {
    let site = Site::new();
    let (image, _) = site.build(
        "FROM busybox\nENV who=me\nCOPY <<one <<'two' /h/\nI am $who\none\nnot $who\ntwo\nCOPY --chmod=755 <<s /run.sh\n\
         #!/bin/sh\necho ran\ns\nRUN /run.sh > /out\n",
    );
    assert_eq!(
        image.read("/h/one") + &image.read("/h/two"),
        "I am me\nnot $who\n"
    );
    assert_eq!(image.read("/out"), "ran\n");
}

fn the_context_may_be_a_stream() {
    let site = Site::new();
    let mut options = site.options("FROM busybox\nCOPY in /x\n");
    options.context = ContextSource::Tar(Box::new(std::io::Cursor::new(archive(true))));
    let (image, _) = site.build_with(options);
    assert_eq!(image.read("/x/b"), "b");
    let mut options = site.options("FROM busybox\n");
    options.context =
        ContextSource::Tar(Box::new(std::io::Cursor::new(b"not an archive".to_vec())));
    assert!(
        site.failure(options)
            .0
            .to_string()
            .contains("unable to prepare context")
    );
}

fn other_contexts_and_images() {
    let site = Site::new();
    let other = site.dir.join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("o"), "o").unwrap();
    let file = "FROM base\nCOPY --from=other o /o\nCOPY --from=busybox:1.36 /bin/busybox /new/busybox\nRUN /new/busybox true\n";
    let mut options = site.options(file);
    options
        .build_contexts
        .insert("other".into(), NamedContext::Directory(other));
    options
        .build_contexts
        .insert("base".into(), NamedContext::Image("busybox".into()));
    let (image, _) = site.build_with(options);
    assert_eq!(image.read("/o"), "o");
    let error = site
        .failure(site.options("FROM busybox\nCOPY --from=nowhere:1 /a /b\n"))
        .0;
    let text = describe(&error);
    assert!(
        text.contains("nowhere:1") && text.contains("image directory"),
        "{text}"
    );
}

fn special_files_and_hard_links() {
    let site = Site::new();
    site.write("d/one", "1");
    fs::hard_link(
        site.context_dir().join("d/one"),
        site.context_dir().join("d/two"),
    )
    .unwrap();
    std::os::unix::net::UnixListener::bind(site.context_dir().join("d/socket")).unwrap();
    sys::pipe::make_fifo(&site.context_dir().join("d/fifo"), 0o600).unwrap();
    let (image, _) = site.build("FROM busybox\nCOPY d /d\n");
    let inode = |path: &str| image.path(path).unwrap().symlink_metadata().unwrap().ino();
    assert_eq!(inode("/d/one"), inode("/d/two"));
    assert!(image.path("/d/socket").is_none());
    assert!(image.path("/d/fifo").is_some());
}
