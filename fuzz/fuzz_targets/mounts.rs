//! Any text is a mount of one of the three short forms, or an error: what is mounted has a clean absolute
//! target that is not the root, and a project that has it prints it as what is loaded as the same.
#![no_main]

mod project;

use model::mount::{Mount, MountKind, parse_mount, parse_tmpfs, parse_volume};
use std::path::Path;

fn check(mount: &Mount) {
    let target = Path::new(&mount.target);
    assert!(target.is_absolute() && target != Path::new("/"), "{mount:?}");
    assert!(!mount.target.split('/').any(|part| part == ".." || part == "."), "{mount:?}");
    match &mount.kind {
        MountKind::Bind { source, .. } => {
            assert!(source.starts_with(['/', '~']), "{mount:?}");
        }
        MountKind::Volume { name: Some(name), .. } => assert!(!name.contains('/') && !name.is_empty()),
        MountKind::Tmpfs { mode, .. } => assert!(mode.is_none_or(|mode| mode <= 0o7777)),
        _ => {}
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let base = Path::new("/p");
    let parsed = [parse_volume(text, base), parse_mount(text, base), parse_tmpfs(text)];
    parsed.iter().flatten().for_each(check);

    let service = serde_json::json!({"image": "x", "volumes": [text]});
    let tmpfs = serde_json::json!({"image": "x", "tmpfs": text});
    // A project takes long to load: only what may be a mount.
    for (service, _) in [(service, &parsed[0]), (tmpfs, &parsed[2])].iter().filter(|(_, parsed)| parsed.is_ok()) {
        // A named volume needs its declaration, and an undeclared one is refused.
        let name = text.split(':').next().unwrap_or_default();
        let yaml = serde_json::json!({"services": {"a": service}, "volumes": {name: {}}});
        let yaml = compose_file::yaml(&yaml).expect("text");
        if let Some(loaded) = project::load(yaml.as_bytes(), b"") {
            project::assert_canonical(&loaded);
        }
    }
});
