//! Dockerfiles: instructions, stages, arguments, what is ignored, the cache, and what a mistake says.

use testkit::{Host, Project, kernel, scenarios};

scenarios!(
    every_instruction_leaves_its_mark,
    stages_are_built_as_needed_and_copied_from,
    the_cache_is_kept_by_content,
    dockerignore_and_copy_forms,
    arguments_and_environment,
    heredocs,
    a_run_reaches_the_network,
    mistakes_name_the_line,
    what_comes_out_besides_an_image,
    a_dockerfile_is_checked_and_nothing_built,
    a_command_is_given_all_only_where_that_is_allowed,
    limits_hold_every_run,
);

fn context<'a>(host: &'a Host, name: &str, dockerfile: &str) -> Project<'a> {
    let project = host.compose_file(name, "");
    project.write("Dockerfile", dockerfile);
    project
}

fn build(host: &Host, project: &Project<'_>, words: &str) -> testkit::Output {
    let output = host
        .docker(&format!("build {words} ."))
        .dir(project.dir())
        .run();
    assert_eq!(output.code, 0, "{output}");
    output
}

fn every_instruction_leaves_its_mark(host: &Host) {
    let project = context(
        host,
        "all",
        "FROM busybox\nLABEL who=\"me and you\" version=1\nENV A=1 B=\"two words\"\nWORKDIR /srv/app\nCOPY file .\n\
         ADD archive.tar /unpacked/\nRUN echo \"$A\" > made && mkdir sub\nRUN [\"touch\", \"exec-form\"]\nVOLUME /data\n\
         EXPOSE 80 53/udp\nUSER 1000:1000\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s CMD true\nSHELL [\"/bin/sh\", \"-ec\"]\n\
         ENTRYPOINT [\"sh\", \"-c\"]\nCMD [\"id -u; pwd; ls\"]\n",
    );
    project.write("file", "copied\n");
    project.write("tarred", "from the archive\n");
    kernel::tool_ok(&format!(
        "tar -C {} -cf {}/archive.tar tarred",
        project.dir().display(),
        project.dir().display()
    ));
    build(host, &project, "-t all:1");
    let seen = host.docker("run --rm all:1").ok();
    for word in ["1000", "/srv/app", "file", "made", "sub", "exec-form"] {
        assert!(seen.contains(word), "{word}: {seen}");
    }
    assert_eq!(
        host.docker("run --rm all:1 'cat /unpacked/tarred /srv/app/made'")
            .ok(),
        "from the archive\n1"
    );
    let config: serde_json::Value =
        serde_json::from_str(&host.inspect("all:1", "{{json .Config}}")).expect("JSON");
    assert_eq!(config["Labels"]["who"], "me and you");
    assert_eq!(config["WorkingDir"], "/srv/app");
    assert_eq!(config["User"], "1000:1000");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["Volumes"], serde_json::json!({ "/data": {} }));
    assert_eq!(
        config["ExposedPorts"],
        serde_json::json!({ "53/udp": {}, "80/tcp": {} })
    );
    assert_eq!(config["Healthcheck"]["Interval"], 5_000_000_000_u64);
    assert!(host.docker("history all:1").ok().contains("STOPSIGNAL"));
}

fn stages_are_built_as_needed_and_copied_from(host: &Host) {
    let project = context(
        host,
        "stages",
        "FROM busybox AS base\nRUN echo base > /base\nFROM base AS maker\nRUN echo made > /out\nFROM busybox AS unused\nRUN false\n\
         FROM busybox\nCOPY --from=maker /out /base /got/\nCOPY --from=redis:alpine /etc/passwd /got/other\n",
    );
    build(host, &project, "-t staged");
    assert_eq!(
        host.docker("run --rm staged cat /got/out /got/base").ok(),
        "made\nbase"
    );
    host.docker("run --rm staged test -s /got/other").ok();
    build(host, &project, "-t mid --target maker");
    assert_eq!(host.docker("run --rm mid cat /out").ok(), "made");
    host.docker("build --target unused .")
        .dir(project.dir())
        .fails(1)
        .says(&["false"]);
}

fn the_cache_is_kept_by_content(host: &Host) {
    let project = context(
        host,
        "cached",
        "FROM busybox\nCOPY file /file\nRUN cat /proc/sys/kernel/random/uuid > /when\n",
    );
    project.write("file", "one");
    build(host, &project, "-t c1");
    let when = |image: &str| host.docker(&format!("run --rm {image} cat /when")).ok();
    let first = when("c1");
    kernel::tool_ok(&format!(
        "touch -d 2001-01-01 {}/file",
        project.dir().display()
    ));
    let again = build(host, &project, "-t c2");
    assert_eq!(when("c2"), first, "times of files do not matter");
    assert!(
        again.all().contains("CACHED") || again.all().contains("Using cache"),
        "{again}"
    );
    assert_eq!(host.inspect("c1", "{{.Id}}"), host.inspect("c2", "{{.Id}}"));
    project.write("file", "two");
    build(host, &project, "-t c3");
    assert_ne!(when("c3"), first, "contents do");
    build(host, &project, "-t c4 --no-cache");
    assert_ne!(when("c4"), when("c3"));
}

fn dockerignore_and_copy_forms(host: &Host) {
    let project = context(
        host,
        "ignored",
        "FROM busybox\nWORKDIR /w\nCOPY . .\nCOPY --chown=7:8 --chmod=600 a.txt /owned\nCOPY *.md dir/sub /mixed/\n",
    );
    for file in [
        "a.txt",
        "secret.key",
        "keep.key",
        "notes.md",
        "dir/sub/deep.txt",
        "node_modules/x/y",
        ".git/config",
    ] {
        project.write(file, file);
    }
    project.write(
        ".dockerignore",
        "# comment\n*.key\n!keep.key\nnode_modules\n.git\nDockerfile\ndocker-compose.yml\n",
    );
    build(host, &project, "-t ignored");
    let files = host.docker("run --rm ignored find . -type f").ok();
    let mut files: Vec<&str> = files.lines().collect();
    files.sort_unstable();
    assert_eq!(
        files,
        [
            "./.dockerignore",
            "./a.txt",
            "./dir/sub/deep.txt",
            "./keep.key",
            "./notes.md"
        ]
    );
    assert_eq!(
        host.docker("run --rm ignored stat -c '%u %g %a' /owned")
            .ok(),
        "7 8 600"
    );
    assert_eq!(
        host.docker("run --rm ignored ls /mixed").ok(),
        "deep.txt\nnotes.md"
    );
    project.write("Dockerfile", "FROM busybox\nCOPY ../outside /x\n");
    let output = host.docker("build .").dir(project.dir()).run();
    assert_ne!(output.code, 0, "nothing above the context: {output}");
}

fn arguments_and_environment(host: &Host) {
    let project = context(
        host,
        "args",
        "ARG TAG=latest\nFROM busybox:${TAG}\nARG TAG\nARG NAME=nobody\nENV HELLO=${NAME:-x} PATHS=/a:$HELLO\n\
         RUN echo \"$NAME $TAG\" > /said\nENV NAME=env-wins\nRUN echo $NAME >> /said\n",
    );
    build(host, &project, "-t args --build-arg NAME=world");
    assert_eq!(
        host.docker("run --rm args cat /said").ok(),
        "world latest\nenv-wins"
    );
    let env = host.inspect("args", "{{json .Config.Env}}");
    assert!(
        env.contains("HELLO=world") && env.contains("NAME=env-wins") && !env.contains("TAG="),
        "{env}"
    );
}

fn heredocs(host: &Host) {
    let project = context(
        host,
        "heredoc",
        "FROM busybox\nRUN <<EOF\necho one > /a\necho two >> /a\nEOF\nCOPY <<'END' <<SECOND /etc/made/\n$literal\nEND\nsecond\nSECOND\n",
    );
    let output = host.docker("build -t heredoc .").dir(project.dir()).run();
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(host.docker("run --rm heredoc cat /a").ok(), "one\ntwo");
    assert_eq!(
        host.docker("run --rm heredoc cat /etc/made/END /etc/made/SECOND")
            .ok(),
        "$literal\nsecond"
    );
}

fn a_run_reaches_the_network(host: &Host) {
    host.docker(
        "run -d --name files busybox sh -c 'echo served > /index.html; httpd -f -p 80 -h /'",
    )
    .ok();
    let address = host.address("files");
    let project = context(
        host,
        "fetch",
        &format!(
            "FROM busybox\nRUN wget -q -O /got http://{address}/index.html && cat /etc/resolv.conf > /dns\n"
        ),
    );
    build(host, &project, "-t fetch");
    assert_eq!(host.docker("run --rm fetch cat /got").ok(), "served");
    let project = context(
        host,
        "offline",
        "FROM busybox\nRUN ip -o link | grep -v ' lo:' && exit 1 || exit 0\n",
    );
    build(host, &project, "--network none -t offline");
}

fn mistakes_name_the_line(host: &Host) {
    for (dockerfile, words) in [
        ("FROM busybox\nRUNN true\n", ["2", "RUNN", "RUN"].as_slice()),
        ("FROM busybox\nRUN exit 9\n", &["exit 9", "9"]),
        ("FROM busybox\nCOPY nothing /x\n", &["nothing"]),
        ("FROM localhost:1/no:image\n", &["localhost:1/no:image"]),
        ("FROM busybox\nCOPY --from=nostage /a /b\n", &["nostage"]),
        ("RUN true\n", &["FROM"]),
        ("", &["no instructions"]),
    ] {
        let project = context(host, "wrong", dockerfile);
        let output = host.docker("build -t wrong .").dir(project.dir()).run();
        assert_eq!(output.code, 1, "{dockerfile:?}: {output}");
        output.says(words);
    }
    let output = host.docker("build /no/such/folder").fails(1);
    output.says(&["/no/such/folder"]);
    assert_eq!(host.docker("images -q wrong").ok(), "");
    assert!(host.processes().is_empty());
}

fn what_comes_out_besides_an_image(host: &Host) {
    let project = context(
        host,
        "out",
        "FROM busybox\nRUN echo made > /made\nFROM scratch\nCOPY --from=0 --chown=7:8 /made /dir/made\n",
    );
    build(host, &project, "-o out");
    assert_eq!(project.read("out/dir/made"), "made\n");
    let owner = std::os::unix::fs::MetadataExt::uid(
        &std::fs::metadata(project.dir().join("out/dir/made")).expect("a file"),
    );
    assert_eq!(owner, 0, "files are the builder's");
    build(host, &project, "--output type=tar,dest=root.tar");
    let listed = kernel::tool_ok(&format!(
        "tar -tvf {}/root.tar --numeric-owner",
        project.dir().display()
    ));
    assert!(
        listed.contains("7/8") && listed.contains("dir/made"),
        "{listed}"
    );
    let id = || host.docker("image inspect -f '{{.Id}}' kept:1").ok();
    build(host, &project, "-t kept:1 -o type=oci,dest=kept.tar");
    let before = id();
    host.docker("rmi kept:1").ok();
    host.docker("load -i kept.tar").dir(project.dir()).ok();
    assert_eq!(id(), before);
    build(host, &project, "-o type=image,name=kept:2");
    assert_eq!(host.inspect("kept:2", "{{.Id}}"), before);
    let refused = host
        .docker("build -o type=cacheonly .")
        .dir(project.dir())
        .run();
    assert_ne!(refused.code, 0, "{refused}");
    refused.says(&["cacheonly", "local"]);
    let failed = host
        .docker("build -o type=tar,dest=/no/such/root.tar .")
        .dir(project.dir())
        .run();
    assert_ne!(failed.code, 0, "{failed}");
    failed.says(&["/no/such/root.tar"]);
}

fn a_dockerfile_is_checked_and_nothing_built(host: &Host) {
    let project = context(host, "checked", "FROM busybox\nRUN false\n");
    let check = |words: &str| {
        host.docker(&format!("build {words} -t checked ."))
            .dir(project.dir())
            .run()
    };
    let good = check("--check");
    assert_eq!(good.code, 0, "{good}");
    good.says(&["no warnings found"]);
    project.write("Dockerfile", "FROM busybox\nMAINTAINER me\nCMD a\nCMD b\n");
    let warned = check("--call check");
    assert_eq!(warned.code, 1, "{warned}");
    warned.says(&[
        "MAINTAINER is deprecated",
        "multiple CMD",
        "2 warnings",
        "Dockerfile:2",
    ]);
    project.write("Dockerfile", "FROM busybox\nRUNN x\n");
    check("--check").says(&["RUNN"]);
    assert_eq!(host.docker("images -q checked").ok(), "");
}

fn a_command_is_given_all_only_where_that_is_allowed(host: &Host) {
    let project = context(
        host,
        "insecure",
        "FROM busybox\nRUN --security=insecure grep CapBnd /proc/self/status > /caps\n",
    );
    let refused = host.docker("build .").dir(project.dir()).fails(1);
    refused.says(&["--allow security.insecure", "Dockerfile:2"]);
    build(host, &project, "-t insecure --allow security.insecure");
    let all = kernel::status_field(std::process::id() as i32, "CapBnd");
    let seen = host.docker("run --rm insecure cat /caps").ok();
    assert!(seen.contains(&all), "{seen}");
    let unknown = host
        .docker("build --allow device .")
        .dir(project.dir())
        .run();
    assert_ne!(unknown.code, 0);
    unknown.says(&["device", "security.insecure"]);
}

fn limits_hold_every_run(host: &Host) {
    let project = context(
        host,
        "limits",
        "FROM busybox\nRUN grep Cpus_allowed_list /proc/self/status > /cpus; cut -d: -f3 /proc/self/cgroup > /groups\n",
    );
    build(host, &project, "-t limits --memory 64m --cpuset-cpus 0");
    let seen = host.docker("run --rm limits cat /cpus").ok();
    assert_eq!(seen.split_whitespace().last(), Some("0"), "{seen}");
    let project = context(
        host,
        "eater",
        "FROM busybox\nRUN head -c 100m /dev/zero | tail\n",
    );
    let output = host
        .docker("build --memory 16m --memory-swap 16m .")
        .dir(project.dir())
        .run();
    assert_ne!(output.code, 0, "{output}");
    let refused = host
        .docker("build --memory much .")
        .dir(project.dir())
        .run();
    refused.says(&["memory", "much"]);
}
