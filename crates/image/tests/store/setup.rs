//! What each of these begins with.

use crate::common::{Fixture, Root};
use image::{Image, InUse, PullPolicy, Silent, Store, StoreOptions};
use oci::Reference;

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// A store whose image directory holds `fixture` as `small:1`, and that image pulled.
pub(crate) fn pulled(root: &Root, fixture: &Fixture) -> (Store, Image) {
    fixture.write_layout(&root.path("images"), "docker.io/library/small:1");
    let store = root.store_with(StoreOptions {
        image_dirs: vec![root.path("images")],
        ..Default::default()
    });
    let image = store
        .ensure("small:1", PullPolicy::Missing, None, &Silent)
        .unwrap();
    (store, image)
}

pub(crate) fn in_use(image: &Image, running: bool) -> [InUse; 1] {
    [InUse {
        image: image.id.clone(),
        layers: image.chain.clone(),
        user: image::remove::User::Container {
            id: "0123456789ab".into(),
            running,
        },
    }]
}

pub(crate) fn entries(root: &Root, dir: &str) -> usize {
    std::fs::read_dir(root.path(dir)).unwrap().count()
}
