//! The keys of `build`.

use testkit::{Host, kernel, scenarios};

scenarios!(
    every_key_of_build_reaches_the_image,
    bases_are_built_before_what_builds_on_them
);

const KEYS: &str = "\
services:
  app:
    image: built-app
    build:
      context: ./ctx
      dockerfile: other/Dockerfile
      args: {WORD: given, FROM_ENV: }
      target: wanted
      labels: {mine: 'yes'}
      tags: [built-app:two, built-app:three]
      extra_hosts: ['somewhere=192.0.2.7']
      network: none
      shm_size: 16m
      ulimits: {nofile: {soft: 77, hard: 88}}
      privileged: true
      platforms: [linux/s390x, linux/amd64]
      pull: false
      no_cache_filter: [wanted]
      additional_contexts: {side: ./side, image: 'docker-image://busybox'}
      secrets:
        - source: key
          target: renamed
          uid: '7'
          mode: 0440
        - kept
        - said
    command: sleep 1000
    init: true
secrets:
  key: {environment: KEY}
  kept: {external: true, name: build_key}
  said: {file: ./said}
";

const DOCKERFILE: &str = "\
FROM busybox AS wanted
ARG WORD FROM_ENV
COPY --from=side file /side
COPY --from=image /bin/busybox /again
COPY own /own
RUN --mount=type=secret,id=renamed stat -c '%u %a' /run/secrets/renamed > /secret && wc -c < /run/secrets/renamed >> /secret
RUN --mount=type=secret,id=kept --mount=type=secret,id=said cat /run/secrets/kept /run/secrets/said | wc -c > /both
RUN echo $WORD $FROM_ENV > /words; ulimit -n > /limit; grep shm /proc/mounts > /shm; grep somewhere /etc/hosts > /hosts
RUN ls /sys/class/net > /net; grep CapBnd /proc/self/status > /caps; head -c 8 /dev/urandom | od > /random
FROM wanted
RUN false
";

fn every_key_of_build_reaches_the_image(host: &Host) {
    host.docker("secret create build_key -").stdin("12345").ok();
    let project = host.compose_file("build", KEYS);
    for (file, text) in [
        ("ctx/other/Dockerfile", DOCKERFILE),
        ("ctx/own", "own\n"),
        ("side/file", "aside\n"),
        ("said", "678"),
    ] {
        project.write(file, text);
    }
    let build = || {
        let call = project.compose("build").env("KEY", "hunter2");
        call.env("FROM_ENV", "environment").run()
    };
    let said = build();
    assert_eq!(said.code, 0, "{said}");
    said.says(&["services.app.build.platforms"]);
    assert!(!said.all().contains("hunter2"), "{said}");
    project
        .compose("up -d")
        .env("KEY", "x")
        .env("FROM_ENV", "x")
        .ok();
    let pid = host.pid("build-app-1");
    let seen = |path: &str| kernel::file_in(pid, path).trim().to_owned();
    assert_eq!(seen("/secret"), "7 440\n7");
    assert_eq!(seen("/both"), "8");
    assert_eq!(
        (seen("/side"), seen("/own")),
        ("aside".into(), "own".into())
    );
    assert_eq!(seen("/words"), "given environment");
    assert_eq!(seen("/limit"), "77");
    assert!(seen("/shm").contains("size=16384k"), "{}", seen("/shm"));
    assert!(seen("/hosts").starts_with("192.0.2.7"));
    assert_eq!(seen("/net"), "lo");
    let all = kernel::status_field(std::process::id() as i32, "CapBnd");
    assert!(seen("/caps").contains(&all));
    for tag in ["built-app", "built-app:two", "built-app:three"] {
        let label = host.docker(&format!(
            "image inspect -f '{{{{.Config.Labels.mine}}}}' {tag}"
        ));
        assert_eq!(label.ok(), "yes");
    }
    let id = || host.docker("image inspect -f '{{.Id}}' built-app").ok();
    let before = id();
    assert_eq!(build().code, 0);
    assert_ne!(id(), before, "the stage is built anew");
    let with_ssh = "services:\n  a:\n    build: {context: ., dockerfile_inline: FROM busybox, ssh: [default]}\n";
    let project = host.compose_file("ssh", with_ssh);
    let refused = project.compose("build").without("SSH_AUTH_SOCK").run();
    assert_ne!(refused.code, 0);
    refused.says(&["services.a.build.ssh", "SSH_AUTH_SOCK"]);
}

fn bases_are_built_before_what_builds_on_them(host: &Host) {
    let project = host.compose_file(
        "edges",
        "services:\n  app:\n    build:\n      context: .\n      dockerfile_inline: |\n        FROM edges-middle\n        CMD [\"cat\", \"/two\"]\n\
         \x20 middle:\n    build:\n      context: .\n      additional_contexts: {base: 'service:zbase'}\n      dockerfile_inline: |\n        FROM base\n        RUN cat /one /one > /two\n\
         \x20   profiles: [never]\n\
         \x20 zbase:\n    image: my/base:1\n    build:\n      context: .\n      dockerfile_inline: |\n        FROM busybox\n        RUN echo 1 > /one\n\
         \x20   profiles: [never]\n",
    );
    assert_eq!(
        project.compose("--profile never run --rm app").run().stdout,
        "1\n1\n"
    );
}
