//! Volumes: first use copies what the image has, data outlives containers, removal asks first.

use testkit::{Host, kernel, scenarios};

scenarios!(
    first_use_copies_the_image,
    a_volume_outlives_its_containers,
    volumes_of_another_container
);

fn first_use_copies_the_image(host: &Host) {
    let volumes = host.docker("run --rm localhost/odd:volumes").run();
    assert_eq!(volumes.code, 0, "{volumes}");
    host.docker("run --rm -v kept:/etc busybox true").ok();
    let data = host.inspect("kept", "{{.Mountpoint}}");
    assert!(
        std::path::Path::new(&data).join("passwd").exists(),
        "the image's /etc"
    );
    host.docker(
        "run --rm -v kept:/other busybox sh -c 'test -e /other/passwd && rm /other/passwd'",
    )
    .ok();
    host.docker("run --rm -v kept:/etc busybox sh -c '! test -e /etc/passwd'")
        .ok();
    host.docker("run --rm -v empty:/etc:nocopy busybox sh -c '! test -e /etc/passwd'")
        .ok();
    host.docker("run --rm -v bin:/bin debian ls /bin/bash").ok();
}

fn a_volume_outlives_its_containers(host: &Host) {
    assert_eq!(
        host.docker("volume create --label who=me data").ok(),
        "data"
    );
    host.docker("run --rm -v data:/d busybox sh -c 'echo kept > /d/file'")
        .ok();
    assert_eq!(
        host.docker("run --rm --mount type=volume,src=data,dst=/x,readonly busybox cat /x/file")
            .ok(),
        "kept"
    );
    assert_eq!(
        host.inspect("data", "{{.Labels.who}} {{.Driver}}"),
        "me local"
    );
    assert_eq!(
        host.docker("volume ls -q --filter label=who=me").ok(),
        "data"
    );
    host.docker("run -d --name user -v data:/d busybox sleep 1000")
        .ok();
    host.docker("volume rm data").fails(1).says(&["in use"]);
    host.docker("rm -f user").ok();
    host.docker("volume prune -f").ok();
    assert_eq!(
        host.docker("volume ls -q").ok(),
        "data",
        "prune takes anonymous ones alone"
    );
    host.docker("volume prune -af").ok();
    assert_eq!(host.docker("volume ls -q").ok(), "");
    assert_eq!(
        kernel::files_below(&host.data_root().join("volumes")).len(),
        0
    );
    host.docker("volume rm data")
        .fails(1)
        .says(&["no such volume"]);
    host.docker("volume create 'bad name'").fails(1);
}

fn volumes_of_another_container(host: &Host) {
    host.docker("create --name source -v named:/named -v /anonymous busybox")
        .ok();
    host.docker(
        "run --rm --volumes-from source busybox sh -c 'echo x > /named/a; echo y > /anonymous/b'",
    )
    .ok();
    assert_eq!(
        host.docker("run --rm --volumes-from source:ro busybox cat /named/a /anonymous/b")
            .ok(),
        "x\ny"
    );
    assert_ne!(
        host.docker("run --rm --volumes-from source:ro busybox touch /named/c")
            .run()
            .code,
        0
    );
}
