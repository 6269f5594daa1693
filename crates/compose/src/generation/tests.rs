//! What is listed, whatever lies there.

use super::*;

fn context() -> (tempfile::TempDir, Context) {
    let dir = tempfile::tempdir().unwrap();
    let options = engine::context::Options {
        data_root: Some(dir.path().join("data")),
        run_root: Some(dir.path().join("run")),
        config: Some(dir.path().join("config.json")),
        ..Default::default()
    };
    let ctx = Context::open(&options).unwrap();
    (dir, ctx)
}

fn lay(ctx: &Context, name: &str, text: &str) {
    let place = directory(ctx, "shop").join(name);
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("generation.json"), text).unwrap();
}

#[test]
fn what_is_damaged_newer_or_half_made_is_none_and_hides_no_other() {
    let (_dir, ctx) = context();
    assert!(list(&ctx, "shop").unwrap().is_empty());
    let whole = Generation {
        number: 10,
        created: Timestamp(0),
        origin: "up".into(),
        services: BTreeMap::new(),
        working_dir: "/srv".into(),
        files: Vec::new(),
        env_files: Vec::new(),
        environment: BTreeMap::new(),
        digests: BTreeMap::new(),
    };
    let path = directory(&ctx, "shop").join("10");
    std::fs::create_dir_all(&path).unwrap();
    let path = path.join("generation.json");
    record::write(&path, &whole, state::Durability::Volatile).unwrap();
    lay(&ctx, "2", "{");
    lay(&ctx, "3", "");
    lay(&ctx, "9", "{\"schema\": 999}");
    lay(&ctx, ".new-11", "{}");
    lay(&ctx, "eleven", "{}");
    std::fs::create_dir_all(directory(&ctx, "shop").join("8")).unwrap();
    assert_eq!(list(&ctx, "shop").unwrap(), [whole]);
    let numbers: Vec<u32> = numbers(&directory(&ctx, "shop"))
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(numbers, [2, 3, 8, 9, 10], "in the order of numbers");
}
