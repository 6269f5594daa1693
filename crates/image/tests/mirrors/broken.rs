//! Places that break off, lack something or lie: what they gave is taken up or thrown away, and the next one is asked.

use crate::common::{Answer, FakeServer, Root, read_file, serve_image, small};
use crate::setup::{FAR, app, faults, large, mirrored, name, store};
use image::{RegistryOptions, Silent};
use oci::Digest;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn what_a_mirror_lacks_or_breaks_off_comes_from_the_next_one() {
    let fixture = large();
    let layer = fixture.layers[0].digest.clone();
    let watched = layer.clone();
    // It has the manifest and the first half of the layer, and dies.
    let broken = serve_image(large(), move |asked, _, answer| {
        match asked.path.contains(watched.hex()) && asked.path.contains("/blobs/") {
            true if asked.offset() == 0 => answer.cut(1 << 19),
            true => Answer::new(500, "").header("Retry-After", "0"),
            false => answer,
        }
    });
    let whole = serve_image(fixture, |_, _, answer| answer);
    let root = Root::new();
    let store = store(&root, mirrored(FAR, &[broken.url(), whole.url()]));
    store.pull(&name("latest"), None, &Silent).unwrap();
    let offsets: Vec<usize> = whole
        .asked
        .lock()
        .unwrap()
        .iter()
        .filter(|a| a.path.contains(layer.hex()))
        .map(|a| a.offset())
        .collect();
    assert_eq!(offsets.len(), 1, "{offsets:?}");
    assert!(offsets[0] > 0, "the first half came from the mirror");
    assert_eq!(faults(&store), []);
}

#[test]
fn a_connection_cut_anywhere_is_taken_up_there_in_this_pull_or_the_next() {
    for seed in [7919, 104_729, 1_299_709] {
        cut_anywhere(seed);
    }
}

/// Nine times at places that follow from the seed.
fn cut_anywhere(seed: usize) {
    let fixture = large();
    let (layer, size) = (
        fixture.layers[0].digest.clone(),
        fixture.layers[0].size as usize,
    );
    let cuts = Arc::new(AtomicUsize::new(0));
    let (watched, counter) = (layer.clone(), cuts.clone());
    let server = serve_image(fixture, move |asked, _, answer| {
        if !asked.path.contains(watched.hex()) || !asked.path.contains("/blobs/") {
            return answer;
        }
        let number = counter.fetch_add(1, Ordering::SeqCst);
        let left = size - asked.offset();
        match number {
            0..=8 => answer.cut((number * seed + 1) * 65_537 % left.max(1)),
            _ => answer,
        }
    });
    let root = Root::new();
    let named: oci::Reference = app(&server);
    // A pull that gives up leaves the part for the next one.
    for _ in 0..9 {
        if store(&root, RegistryOptions::default())
            .pull(&named, None, &Silent)
            .is_ok()
        {
            break;
        }
    }
    let store = store(&root, RegistryOptions::default());
    assert!(store.find(&named.to_string()).is_ok());
    assert!(cuts.load(Ordering::SeqCst) > 9);
    let offsets: Vec<usize> = server
        .asked
        .lock()
        .unwrap()
        .iter()
        .filter(|a| a.path.contains("/blobs/") && a.path.contains(layer.hex()))
        .map(|a| a.offset())
        .collect();
    assert!(offsets.is_sorted(), "nothing is fetched twice: {offsets:?}");
    assert_eq!(faults(&store), []);
}

#[test]
fn a_mirror_that_lies_is_not_believed_and_the_next_one_is_asked() {
    let fixture = small();
    let (layer, config) = (
        fixture.layers[0].digest.clone(),
        fixture.config.digest.clone(),
    );
    let liar = serve_image(small(), move |asked, _, mut answer| {
        let lies = [&layer, &config]
            .iter()
            .any(|d| asked.path.ends_with(d.hex()))
            && asked.path.contains("/blobs/");
        if lies && let Some(byte) = answer.body.last_mut() {
            *byte ^= 1;
        }
        answer
    });
    let honest = serve_image(fixture, |_, _, answer| answer);
    let root = Root::new();
    let store = store(&root, mirrored(FAR, &[liar.url(), honest.url()]));
    let image = store.pull(&name("latest"), None, &Silent).unwrap().image;
    assert_eq!(
        read_file(&store.layer_dirs(&image).unwrap(), "bin/sh").as_deref(),
        Some("shell")
    );
    assert_eq!(faults(&store), []);
}

#[test]
fn manifests_that_are_cut_oversized_or_another_are_not_taken_from_a_mirror() {
    let fixture = small();
    let manifest = fixture.manifest.clone();
    for (kind, body) in [
        ("cut", manifest[..manifest.len() / 2].to_vec()),
        ("oversized", vec![b' '; (4 << 20) + 1]),
        ("another", manifest.iter().copied().chain([b'\n']).collect()),
    ] {
        let digest = Digest::sha256(&manifest).to_string();
        let wrong = serve_image(small(), move |asked, _, answer| {
            if asked.path.contains("/manifests/") {
                Answer::new(200, body.clone()).header("Docker-Content-Digest", digest.clone())
            } else {
                answer
            }
        });
        let right = serve_image(small(), |_, _, answer| answer);
        let root = Root::new();
        let alone = store(&root, mirrored(FAR, &[wrong.url()]));
        let text = alone
            .pull(&app(&wrong), None, &Silent)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("digest") || text.contains("more than 4 MB"),
            "{kind}: {text}"
        );
        assert!(alone.list().unwrap().is_empty());
        let locations = [wrong.url(), right.url()];
        let both = store(&root, mirrored(FAR, &locations));
        both.pull(&name("latest"), None, &Silent).unwrap();
        assert_eq!(faults(&both), [], "{kind}");
    }
}

#[test]
fn a_slow_server_is_waited_for_and_a_silent_one_is_not() {
    let fixture = large();
    let layer = fixture.layers[0].digest.clone();
    let pause = Duration::from_millis(150);
    let server = serve_image(fixture, move |asked, _, answer| {
        match asked.path.ends_with(layer.hex()) {
            true => answer.slowly(pause),
            false => answer,
        }
    });
    // All in all it takes longer than a stall may, but bytes keep coming.
    let patient = |stall| RegistryOptions {
        stall_timeout: Some(stall),
        ..RegistryOptions::default()
    };
    let root = Root::new();
    store(&root, patient(pause * 8))
        .pull(&app(&server), None, &Silent)
        .unwrap();
    let blobs = |server: &FakeServer| server.count(|a| a.path.contains("/blobs/"));
    assert_eq!(blobs(&server), 2, "nothing was asked for twice");
    let silent = serve_image(large(), |asked, _, answer| {
        match asked.path.contains("/blobs/") {
            true => answer.slowly(Duration::from_secs(600)),
            false => answer,
        }
    });
    let root = Root::new();
    let error = store(&root, patient(Duration::from_millis(100)))
        .pull(&app(&silent), None, &Silent)
        .unwrap_err();
    let cause = std::error::Error::source(&error).expect("what happened");
    let text = format!("{error}: {cause}");
    assert!(text.contains("no byte came for too long"), "{text}");
    assert!(text.contains(&silent.host()), "{text}");
}
