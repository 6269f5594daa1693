//! What scripts read: inspect's JSON, templates, filters, version and info.

use serde_json::Value;
use testkit::{Host, scenarios};

scenarios!(
    inspect_has_dockers_shape,
    templates,
    filters,
    version_and_info_answer
);

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn inspect_has_dockers_shape(host: &Host) {
    host.docker(
        "run -d --name cc -p 8080:80 -v vol:/v -e A=1 --restart unless-stopped busybox sleep 1000",
    )
    .ok();
    let all = json(&host.docker("inspect cc").ok());
    let c = &all[0];
    for pointer in [
        "/Id",
        "/Created",
        "/Path",
        "/Args/0",
        "/State/Status",
        "/State/Pid",
        "/State/StartedAt",
        "/Image",
        "/ResolvConfPath",
        "/HostnamePath",
        "/HostsPath",
        "/LogPath",
        "/Name",
        "/RestartCount",
        "/Driver",
        "/Platform",
        "/HostConfig/NetworkMode",
        "/HostConfig/Binds/0",
        "/HostConfig/LogConfig/Type",
        "/GraphDriver/Name",
        "/Mounts/0/Destination",
        "/Config/Hostname",
        "/Config/Env/0",
        "/Config/Cmd/0",
        "/Config/Image",
        "/NetworkSettings/Networks/bridge/IPAddress",
        "/NetworkSettings/Networks/bridge/Gateway",
        "/NetworkSettings/Networks/bridge/MacAddress",
    ] {
        assert!(
            c.pointer(pointer).is_some_and(|v| !v.is_null()),
            "{pointer}: {c}"
        );
    }
    assert_eq!(c["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
    assert_eq!(
        c["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"],
        "8080"
    );
    assert_eq!(c["Mounts"][0]["Type"], "volume");
    assert_eq!(c["Mounts"][0]["Name"], "vol");
    assert_eq!(c["State"]["Running"], true);
    let image = json(&host.docker("image inspect busybox").ok());
    for pointer in [
        "/0/Id",
        "/0/RepoTags/0",
        "/0/Architecture",
        "/0/Os",
        "/0/Size",
        "/0/RootFS/Layers/0",
        "/0/Config",
    ] {
        assert!(image.pointer(pointer).is_some(), "{pointer}");
    }
    let network = json(&host.docker("network inspect bridge").ok());
    assert_eq!(network[0]["Driver"], "bridge");
    let id = c["Id"].as_str().expect("an id");
    assert_eq!(network[0]["Containers"][id]["Name"], "cc");
    let volume = json(&host.docker("volume inspect vol").ok());
    assert_eq!(volume[0]["Scope"], "local");
    let output = host.docker("inspect nothing").fails(1);
    assert_eq!(output.stdout.trim(), "[]");
}

fn templates(host: &Host) {
    host.docker("run -d --name cc -l a=1 -e X=y busybox sleep 1000")
        .ok();
    for (template, want) in [
        ("{{.State.Status}}", "running"),
        ("{{.Name}} {{len .Config.Cmd}}", "/cc 2"),
        ("{{range .Config.Cmd}}<{{.}}>{{end}}", "<sleep><1000>"),
        ("{{index .Config.Labels \"a\"}}", "1"),
        ("{{json .Config.Cmd}}", r#"["sleep","1000"]"#),
        ("{{join .Config.Cmd \"-\"}}", "sleep-1000"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{upper .State.Status}}", "RUNNING"),
        (
            "{{range $k, $v := .Config.Labels}}{{if eq $k \"a\"}}{{$k}}={{$v}}{{end}}{{end}}",
            "a=1",
        ),
        ("{{with .Config}}{{.Hostname | len}}{{end}}", "12"),
        ("{{println .Driver}}", "overlay2"),
    ] {
        assert_eq!(host.inspect("cc", template), want, "{template}");
    }
    host.docker("inspect -f")
        .arg("{{.State.NoSuch}}")
        .arg("cc")
        .fails(1);
    host.docker("inspect -f").arg("{{.State").arg("cc").fails(1);
    assert_eq!(
        host.docker("ps --format '{{.Names}}|{{.Image}}|{{.State}}'")
            .ok(),
        "cc|busybox|running"
    );
    let table = host
        .docker("ps --format 'table {{.Names}}\\t{{.Status}}'")
        .ok();
    assert!(
        table.starts_with("NAMES") && table.contains("STATUS"),
        "{table}"
    );
    let line = json(&host.docker("ps --format '{{json .}}'").ok());
    assert_eq!(line["Names"], "cc");
    assert_eq!(
        json(&host.docker("ps --format json").ok())["Image"],
        "busybox"
    );
    let default = host.docker("ps").ok();
    assert!(
        default.starts_with("CONTAINER ID   IMAGE")
            && default.contains("\"sleep 1000\"")
            && default.contains("Up "),
        "{default}"
    );
}

fn filters(host: &Host) {
    host.docker("run -d --name web1 -l tier=front busybox sleep 1000")
        .ok();
    host.docker("run -d --name web2 -l tier=back busybox sleep 1000")
        .ok();
    host.docker("run --name done debian sh -c 'exit 3'")
        .fails(3);
    let names = |filter: &str| {
        let text = host
            .docker(&format!("ps -a {filter} --format '{{{{.Names}}}}'"))
            .ok();
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    for (filter, want) in [
        ("-f name=web", "web1 web2"),
        ("-f name=^/web1$", "web1"),
        ("-f label=tier", "web1 web2"),
        ("-f label=tier=back", "web2"),
        ("-f status=exited", "done"),
        ("-f exited=3", "done"),
        ("-f ancestor=debian", "done"),
        ("-f status=running -f label=tier=front", "web1"),
        ("-f status=exited -f status=running", "done web1 web2"),
        ("-f network=bridge -f name=web2", "web2"),
        ("-f since=web1", "done web2"),
        ("-f before=web2", "web1"),
        ("-n 1", "done"),
    ] {
        assert_eq!(names(filter), want, "{filter}");
    }
    host.docker("ps -f nonsense=1").fails(1).says(&["nonsense"]);
    assert_eq!(
        host.docker("images -q -f reference=busy*")
            .ok()
            .lines()
            .count(),
        1
    );
    assert_eq!(host.docker("images -q -f dangling=true").ok(), "");
    assert_eq!(
        host.docker("network ls -q -f driver=host")
            .ok()
            .lines()
            .count(),
        1
    );
}

fn version_and_info_answer(host: &Host) {
    assert!(
        host.docker("version --format '{{.Server.Version}}'")
            .ok()
            .starts_with(|c: char| c.is_ascii_digit())
    );
    assert!(
        host.docker("version --format '{{.Client.APIVersion}}'")
            .ok()
            .contains('.')
    );
    host.docker("--version").run().says(&["version"]);
    let info = json(&host.docker("info --format '{{json .}}'").ok());
    for key in [
        "Containers",
        "Images",
        "Driver",
        "CgroupVersion",
        "OSType",
        "Architecture",
        "NCPU",
        "MemTotal",
        "DockerRootDir",
        "ServerVersion",
    ] {
        assert!(!info[key].is_null(), "{key}: {info}");
    }
    assert_eq!(info["DockerRootDir"].as_str(), host.data_root().to_str());
    assert!(
        host.docker("info")
            .env("HOME", "")
            .ok()
            .contains("Containers:")
    );
    host.docker("help").run().says(&["run"]);
    host.docker("run --help").run().says(&["--publish"]);
}
