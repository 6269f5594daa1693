//! RUN: the sandbox, its mounts, its network, its failures.

use crate::Test;
use crate::site::{Site, describe};
use build::{Secret, SecretSource};
use std::io::{Read, Write};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_command_leaves_its_files_and_nothing_else",
        a_command_leaves_its_files_and_nothing_else,
    ),
    (
        "user_shell_environment_and_directory",
        user_shell_environment_and_directory,
    ),
    ("failures_say_where", failures_say_where),
    ("heredocs_run", heredocs_run),
    (
        "mounts_show_and_stay_out_of_the_layer",
        mounts_show_and_stay_out_of_the_layer,
    ),
    (
        "caches_survive_and_secrets_do_not",
        caches_survive_and_secrets_do_not,
    ),
    ("networks", networks),
    ("deleting_what_is_below", deleting_what_is_below),
    (
        "a_command_cannot_touch_the_host",
        a_command_cannot_touch_the_host,
    ),
    (
        "mount_points_turned_into_links_delete_nothing_cve_2024_23652",
        mount_points_turned_into_links_delete_nothing_cve_2024_23652,
    ),
    (
        "mount_sources_stay_in_their_root_cve_2024_1753_cve_2024_23651",
        mount_sources_stay_in_their_root_cve_2024_1753_cve_2024_23651,
    ),
];

fn a_command_leaves_its_files_and_nothing_else() {
    let site = Site::new();
    let (image, told) =
        site.build("FROM busybox\nRUN echo hello && echo oops >&2 && echo made > /made\n");
    assert_eq!(image.read("/made"), "made\n");
    assert!(told.says("| hello") && told.says("| oops"));
    assert!(
        told.says("finished [2/2] RUN echo hello"),
        "{:#?}",
        told.lines()
    );
    let extra: Vec<String> = image
        .top_names()
        .into_iter()
        .filter(|name| name != "made" && name != "etc")
        .collect();
    assert!(
        extra.is_empty(),
        "mount points are left in the layer: {extra:?}"
    );
    let linked = "FROM busybox\nRUN ln -s ../gone/target /etc/link\n\
                  RUN --mount=type=tmpfs,target=/etc/link true\n";
    let (image, _) = site.build(linked);
    assert!(image.path("/gone").is_none(), "{:?}", image.top_names());
    let (image, _) = site.build(
        "FROM scratch\nCOPY --from=busybox /bin/busybox /busybox\nRUN [\"/busybox\", \"true\"]\n",
    );
    assert!(image.top_names().is_empty(), "{:?}", image.top_names());
}

fn user_shell_environment_and_directory() {
    let site = Site::new();
    let (image, _) = site.build(
        "FROM busybox\nRUN echo app:x:1000:1001::/home/app:/bin/sh >> /etc/passwd\nENV a=1\nARG b=2\nWORKDIR /w\n\
         RUN chown 1000 /w\nUSER app\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN id -u > u; id -g > g; pwd > p; echo $a$b > v; \
         echo $HOME > h; hostname > n\n",
    );
    let read = |name: &str| image.read(&format!("/w/{name}")).trim().to_owned();
    assert_eq!(
        [read("u"), read("g"), read("p"), read("v"), read("h")],
        ["1000", "1001", "/w", "12", "/home/app"]
    );
    assert_eq!(image.attributes("/w/u"), "644 1000:1001");
    assert_eq!(image.built.image.config.config.user, "app");
}

fn failures_say_where() {
    let site = Site::new();
    let (error, told) =
        site.failure(site.options("FROM busybox\n\nRUN echo before; \\\n  exit 3\n"));
    assert_eq!(
        error.to_string(),
        "failed to solve: process \"/bin/sh -c echo before;   exit 3\" did not complete successfully: exit code: 3"
    );
    let shown = error.excerpt.unwrap().to_string();
    assert!(
        shown.starts_with("Dockerfile:3-4\n") && shown.contains("   4 | >>>   exit 3"),
        "{shown}"
    );
    assert!(told.says("failed [2/2] RUN echo before"));
    let error = site
        .failure(site.options("FROM busybox\nRUN nosuchthing\n"))
        .0;
    assert!(error.to_string().ends_with("exit code: 127"), "{error}");
    let error = site
        .failure(site.options("FROM busybox\nRUN [\"/no/such\"]\n"))
        .0;
    assert!(
        describe(&error).contains("/no/such"),
        "{}",
        describe(&error)
    );
    let error = site.failure(site.options("FROM nowhere/at-all:1\n")).0;
    assert!(
        describe(&error).contains("nowhere/at-all:1")
            && describe(&error).contains("image directory")
    );
    let mut options = site.options("FROM busybox\n");
    options.platform = Some("windows/arm64".into());
    assert!(
        site.failure(options)
            .0
            .to_string()
            .contains("cannot be built here")
    );
}

fn heredocs_run() {
    let site = Site::new();
    let (image, _) = site.build(
        "FROM busybox\nRUN <<EOF\nset -e\necho one > /1\necho two > /2\nEOF\nRUN <<EOF\n#!/bin/busybox sh\necho \"$0\" > /3\n\
         EOF\nRUN cat <<-A > /4 && cat <<B >> /4\n\tfirst\n\tA\nsecond\nB\n",
    );
    assert_eq!(image.read("/1") + &image.read("/2"), "one\ntwo\n");
    assert_eq!(image.read("/3"), "/dev/pipes/EOF\n");
    assert_eq!(image.read("/4"), "first\nsecond\n");
}

fn mounts_show_and_stay_out_of_the_layer() {
    let site = Site::new();
    site.write("src/f", "f");
    let (image, _) = site.build(
        "FROM busybox AS tools\nRUN echo tool > /tool\nFROM busybox\n\
         RUN --mount=type=bind,source=src,target=/src --mount=type=bind,from=tools,source=/tool,target=/opt/tool \
         --mount=type=tmpfs,target=/scratch,size=1m --mount=target=/rw,source=src,rw \
         cat /src/f /opt/tool > /out && ! touch /src/x 2>/dev/null && touch /scratch/x && touch /rw/y && \
         df /scratch | tail -1 | grep -q 1024\n",
    );
    assert_eq!(image.read("/out"), "ftool\n");
    assert!(
        !site.context_dir().join("src/y").exists(),
        "writes to a bind are dropped"
    );
    let names: Vec<String> = image
        .top_names()
        .into_iter()
        .filter(|name| name != "etc")
        .collect();
    assert_eq!(names, ["out"]);
    site.write("src/f", "changed");
    let file = "FROM busybox\nRUN --mount=source=src,target=/src cat /src/f > /out\n";
    assert_eq!(site.build(file).0.read("/out"), "changed");
    site.write("src/f", "again");
    assert_eq!(
        site.build(file).0.read("/out"),
        "again",
        "the content of a bind mount counts"
    );
}

fn caches_survive_and_secrets_do_not() {
    let site = Site::new();
    let file = |n: u32| {
        format!(
            "FROM busybox\nRUN --mount=type=cache,target=/cache,uid=7 echo {n} >> /cache/f; cat /cache/f > /out\n"
        )
    };
    site.build(&file(1));
    assert_eq!(site.build(&file(2)).0.read("/out"), "1\n2\n");
    let secret = "FROM busybox\nRUN --mount=type=secret,id=key,required --mount=type=secret,id=key,env=KEY \
                  wc -c < /run/secrets/key > /out; stat -c %a /run/secrets/key >> /out; echo $KEY | wc -c >> /out\n";
    let mut options = site.options(secret);
    let value = SecretSource::Value(b"12345".to_vec());
    options.secrets.push(Secret::new("key", value));
    let (image, _) = site.build_with(options);
    assert_eq!(image.read("/out"), "5\n400\n6\n");
    assert!(image.path("/run/secrets").is_none());
    let mut again = site.options(secret);
    again.no_cache = true;
    let missing = site.failure(again).0;
    assert!(
        missing.to_string().contains("secret key: not found"),
        "{missing}"
    );
}

fn networks() {
    let site = Site::new();
    let file = "FROM busybox\nRUN --network=none ls /sys/class/net > /none\nRUN --network=host ls /sys/class/net > /host\n\
                RUN cat /etc/hosts > /hosts; ip route > /route\n";
    let mut options = site.options(file);
    let extra = model::network::HostAddress::Ip("10.9.8.7".parse().unwrap());
    options.extra_hosts.push(model::network::ExtraHost {
        name: "db".into(),
        address: extra,
    });
    let (image, _) = site.build_with(options);
    assert_eq!(image.read("/none").trim(), "lo");
    assert!(image.read("/hosts").contains("10.9.8.7\tdb"));
    let route = image.read("/route");
    let gateway = route
        .lines()
        .find_map(|line| line.strip_prefix("default via ")?.split(' ').next())
        .expect("a way out");
    // Something of this host, reached by the address of the bridge.
    let listener = std::net::TcpListener::bind((gateway, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 512]);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nserved").unwrap();
    });
    let file = format!("FROM busybox\nRUN wget -q -O /page http://{gateway}:{port}/\n");
    assert_eq!(site.build(&file).0.read("/page"), "served");
    server.join().unwrap();
    let leases = network::leases(&site.ctx.layout, "bridge").unwrap();
    assert!(leases.is_empty(), "addresses are given back: {leases:?}");
}

fn deleting_what_is_below() {
    let site = Site::new();
    let (image, _) = site.build(
        "FROM busybox\nRUN mkdir /d && touch /d/a /d/b\nRUN rm /d/a && rm -r /d && mkdir /d && touch /d/c\nRUN ls /d > /list\n",
    );
    assert_eq!(image.read("/list"), "c\n");
}

fn a_command_cannot_touch_the_host() {
    let site = Site::new();
    let (image, _) = site.build(
        "FROM busybox\nRUN mknod /dev/x b 254 0 && ! head -c1 /dev/x 2>/dev/null && ! mount -t tmpfs x /mnt 2>/dev/null && \
         ! mount -o remount,rw /sys 2>/dev/null && echo safe > /out\n",
    );
    assert_eq!(image.read("/out"), "safe\n");
}

/// The empty mount points are taken away after the command, which has made links of what lies above them.
fn mount_points_turned_into_links_delete_nothing_cve_2024_23652() {
    let site = Site::new();
    let victim = site.dir.join("victim");
    std::fs::create_dir_all(victim.join("point")).unwrap();
    std::fs::write(victim.join("file"), "").unwrap();
    let up = format!("../../../../../../../../..{}", victim.display());
    for link in [victim.display().to_string(), up] {
        site.build(&format!(
            "FROM busybox\nRUN --mount=type=tmpfs,target=/a/point --mount=type=tmpfs,target=/b/file \
             mkdir /c && umount /a/point /b/file 2>/dev/null; mv /a /c/a; mv /b /c/b; ln -s {link} /a; ln -s {link} /b; true\n"
        ));
        assert!(victim.join("point").is_dir() && victim.join("file").is_file());
    }
}

/// A stage whose files are links to the host's: what is mounted from it is looked up in it alone.
fn mount_sources_stay_in_their_root_cve_2024_1753_cve_2024_23651() {
    let site = Site::new();
    let secret = site.dir.join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("key"), "x").unwrap();
    let up = format!("../../../../../../../../..{}", secret.display());
    for link in [secret.display().to_string(), up, "/proc/1/root".to_owned()] {
        let error = site
            .failure(site.options(&format!(
                "FROM busybox AS evil\nRUN ln -s {link} /out\nFROM busybox\n\
                 RUN --mount=type=bind,from=evil,source=/out,target=/in,rw ls /in && touch /in/made\n"
            )))
            .0;
        let text = describe(&error);
        assert!(text.contains("/out"), "{link}: {text}");
        std::os::unix::fs::symlink(&link, site.context_dir().join("out")).unwrap();
        let file = "FROM busybox\nRUN --mount=type=bind,source=out,target=/in,rw touch /in/made\n";
        site.failure(site.options(file));
        std::fs::remove_file(site.context_dir().join("out")).unwrap();
    }
    assert!(!secret.join("made").exists());
}
