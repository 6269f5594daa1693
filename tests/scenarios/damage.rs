//! Records that are not what was written: no command takes one for empty, each names the file and the way out, `system check` finds it,
//! and `system check --repair` brings back what something else still knows.

use std::fs;
use std::path::{Path, PathBuf};
use testkit::{Host, Output, scenarios};

scenarios!(
    a_damaged_table_of_names_is_told_and_comes_back,
    names_come_back_without_the_copy_too,
    every_damaged_record_is_told_and_found,
    the_record_of_a_layer_is_made_anew,
);

/// What a power cut, a full disk, a stray tool leaves of a file.
const DAMAGES: [&str; 6] = [
    "",
    "\0\0\0\0\0\0\0\0",
    "{",
    "[]",
    "{}",
    r#"{"schemaVersion":2,"manifests":null}"#,
];

fn table(host: &Host) -> PathBuf {
    host.data_root().join("images/index.json")
}

fn names(host: &Host) -> String {
    host.docker("images --format '{{.Repository}}:{{.Tag}}'")
        .ok()
}

/// The file, and what can be done.
fn is_told(said: &Output, file: &Path) {
    assert_ne!(said.code, 0, "{said}");
    let file = file.display().to_string();
    said.says(&[file.as_str(), "system check --repair"]);
}

fn a_damaged_table_of_names_is_told_and_comes_back(host: &Host) {
    host.docker("pull busybox").ok();
    host.docker("pull hello-world").ok();
    host.docker("tag busybox two/names:1").ok();
    let (table, before) = (table(host), names(host));
    let whole = fs::read(&table).expect("a table");
    let cut = String::from_utf8_lossy(&whole[..whole.len() / 2]).into_owned();
    let damages = DAMAGES.iter().map(|text| Some(*text));
    for damage in damages.chain([Some(cut.as_str()), None]) {
        match damage {
            Some(text) => fs::write(&table, text).expect("a table"),
            None => fs::remove_file(&table).expect("a table"),
        }
        for words in [
            "images",
            "run --rm busybox true",
            "pull busybox",
            "rmi busybox",
            "tag busybox x",
            "image prune -af",
            "system prune -af",
            "save busybox",
            "load",
        ] {
            is_told(&host.docker(words).run(), &table);
        }
        let found = host.docker("system check").fails(1);
        found.says(&["the table of images", "2 images", "1 fault"]);
        host.docker("system check --repair")
            .run()
            .says(&["made anew; 3 names are in its copy"]);
        assert_eq!(names(host), before, "{damage:?}");
        host.docker("system check").ok();
        host.docker("run --rm --pull never --network none busybox true")
            .ok();
    }
}

fn names_come_back_without_the_copy_too(host: &Host) {
    host.docker("pull busybox").ok();
    host.docker("pull hello-world").ok();
    host.docker("create --name web busybox true").ok();
    let id = host.inspect("hello-world", "{{.Id}}");
    let copy = host.data_root().join("images/index.json.copy");
    for damage in DAMAGES {
        fs::write(table(host), damage).expect("a table");
        fs::write(&copy, damage).expect("a copy");
        let mended = host.docker("system check --repair").run();
        assert_eq!(mended.code, 0, "{mended}");
        mended.says(&["1 are known by containers", "images without a name: 1"]);
        assert!(names(host).contains("busybox:latest"), "{}", names(host));
        // Nothing is lost but the name.
        host.docker("image prune -f --filter until=87600h").ok();
        host.docker(&format!("run --rm --pull never {id}")).ok();
        host.docker(&format!("tag {id} hello-world")).ok();
        host.docker("system check").ok();
    }
    // A copy that is behind by one change: the image has lost the name that was its last.
    let behind = fs::read(&copy).expect("a copy");
    host.docker("tag busybox late:1").ok();
    host.docker("rmi hello-world").ok();
    fs::write(&copy, behind).expect("a copy");
    fs::remove_file(table(host)).expect("a table");
    host.docker("system check --repair").ok();
    assert_eq!(names(host), "busybox:latest", "what was removed stays so");
    host.docker("system check").ok();
}

fn every_damaged_record_is_told_and_found(host: &Host) {
    host.docker("pull busybox").ok();
    host.docker("volume create data").ok();
    host.docker("network create net").ok();
    host.docker("secret create key -").stdin("x").ok();
    host.docker("create --name web busybox true").ok();
    let data = host.data_root();
    let id = host.inspect("web", "{{.Id}}");
    let secret = data.join("secrets/key/record.json");
    let records = [
        (
            data.join("containers").join(id).join("config.json"),
            "ps -a",
            "container",
        ),
        (
            data.join("volumes/data/record.json"),
            "volume ls",
            "volume data",
        ),
        (data.join("networks/net.json"), "network ls", "network net"),
        (secret, "secret ls", "secret key"),
    ];
    for (path, words, name) in &records {
        let whole = fs::read(path).expect("a record");
        for damage in DAMAGES {
            fs::write(path, damage).expect("a record");
            is_told(&host.docker(words).run(), path);
            let found = host.docker("system check --quick").fails(1);
            found.says(&[*name, "1 fault"]);
            let newer = r#"{"schema":99}"#;
            fs::write(path, newer).expect("a record");
            host.docker(words).run().says(&["newer dockless"]);
            host.docker("system check --quick --repair --force")
                .fails(1);
            assert_eq!(fs::read_to_string(path).expect("a record"), newer);
        }
        fs::write(path, whole).expect("a record");
    }
    host.docker("system check").ok();
}

fn the_record_of_a_layer_is_made_anew(host: &Host) {
    host.docker("pull busybox").ok();
    let chain = host.inspect("busybox", "{{index .RootFS.Layers 0}}");
    let layer = host
        .data_root()
        .join("layers")
        .join(chain.replace("sha256:", ""));
    let record = layer.join("layer.json");
    let size = host.inspect("busybox", "{{.Size}}");
    host.docker("run -d --name up --network none busybox sleep 1000")
        .ok();
    for damage in DAMAGES {
        fs::write(&record, damage).expect("a record");
        let found = host.docker("system check").fails(1);
        found.says(&["layer.json", "busybox", "1 fault"]);
        // Though a container runs on it: the files are as they were.
        let mended = host.docker("system check --repair").run();
        assert_eq!(mended.code, 0, "{mended}");
        mended.says(&["made anew, its files are as they were"]);
        assert_eq!(host.inspect("busybox", "{{.Size}}"), size);
        host.docker("system check").ok();
    }
    host.docker("exec up true").ok();
}
