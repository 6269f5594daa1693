//! Registries that want to be left alone for a while (429, 503): the wait is kept and told, and it has an end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::{Front, Host, Passing, Registry, TokenService, Verdict, kernel, requires, scenarios};

scenarios!(
    a_registry_that_is_busy_is_asked_again_when_it_says,
    a_push_to_a_busy_registry_waits_as_it_is_asked,
    a_token_service_that_is_busy_is_waited_for,
    a_registry_that_stays_busy_is_given_up_on,
);

/// What a request is about.
fn kind(passing: &Passing) -> &'static str {
    let path = passing.path.as_str();
    match passing.method.as_str() {
        "POST" => "begin",
        "PUT" if path.contains("/manifests/") => "name",
        "PUT" => "send",
        "HEAD" if path.contains("/blobs/") => "look",
        _ if path.contains("/token") => "token",
        _ if path.contains("/blobs/") => "blob",
        _ if path.contains("/manifests/") => "manifest",
        _ => "",
    }
}

/// Who refuses the first request of each kind, and counts those that come again before the time.
#[derive(Debug)]
struct Busy {
    status: u16,
    kinds: &'static [&'static str],
    /// `Retry-After`, as it is written now.
    says: fn() -> String,
    until: Mutex<HashMap<&'static str, Instant>>,
    early: AtomicUsize,
}

impl Busy {
    fn new(status: u16, kinds: &'static [&'static str], says: fn() -> String) -> Arc<Self> {
        Arc::new(Self {
            status,
            kinds,
            says,
            until: Mutex::default(),
            early: AtomicUsize::new(0),
        })
    }

    fn verdict(&self, passing: &Passing) -> Verdict {
        let kind = kind(passing);
        if !self.kinds.contains(&kind) {
            return Verdict::Pass;
        }
        let mut until = self.until.lock().expect("the times");
        match until.get(kind) {
            Some(then) if *then > Instant::now() => {
                self.early.fetch_add(1, Ordering::SeqCst);
            }
            Some(_) => return Verdict::Pass,
            None => {
                until.insert(kind, Instant::now() + Duration::from_secs(1));
            }
        }
        let quota = |left: &str| format!("{left};w=21600");
        Verdict::Answer(
            self.status,
            vec![
                ("Retry-After", (self.says)()),
                ("RateLimit-Limit", quota("100")),
                ("RateLimit-Remaining", quota("7")),
            ],
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#.to_owned(),
        )
    }

    /// All were refused once, and none came too early.
    fn was_heeded(&self) {
        assert_eq!(self.early.load(Ordering::SeqCst), 0, "too early");
        let until = self.until.lock().expect("the times");
        for kind in self.kinds {
            assert!(until.contains_key(kind), "{kind} was never asked");
        }
    }
}

fn seconds() -> String {
    "1".to_owned()
}

/// A second from now at the earliest: dates have whole seconds.
fn date() -> String {
    kernel::tool_ok("env LC_ALL=C date -u -d '+2 seconds' '+%a, %d %b %Y %H:%M:%S GMT'")
}

fn in_front(target: &str, busy: &Arc<Busy>) -> Front {
    let busy = busy.clone();
    Front::of(target, move |passing| busy.verdict(passing))
}

fn pull(host: &Host, name: &str) -> testkit::Call {
    host.docker(&format!("pull {name}"))
        .env("DOCKLESS_IMAGE_DIR", "")
}

fn a_registry_that_is_busy_is_asked_again_when_it_says(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5091);
    let own = format!("{}/box:1", registry.address);
    host.docker("pull busybox").ok();
    host.docker(&format!("tag busybox {own}")).ok();
    host.docker(&format!("push {own}")).ok();
    let id = host.inspect("busybox", "{{.Id}}");
    host.docker(&format!("rmi {own} busybox")).ok();
    for (status, says) in [
        (429, seconds as fn() -> String),
        (429, date),
        (503, seconds),
    ] {
        let busy = Busy::new(status, &["manifest", "blob"], says);
        let front = in_front(&registry.address, &busy);
        let name = format!("{}/box:1", front.address);
        let pulled = pull(host, &name).run();
        assert_eq!(pulled.code, 0, "{pulled}");
        busy.was_heeded();
        pulled.says(&[
            &format!("s for {}", front.address),
            "manifests/1",
            "/blobs/sha256:",
            &format!("answered {status}"),
            "7 of 100 pulls left in 6 h",
        ]);
        assert_eq!(host.inspect(&name, "{{.Id}}"), id);
        host.docker(&format!("rmi {name}")).ok();
    }
}

fn a_push_to_a_busy_registry_waits_as_it_is_asked(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5092);
    let busy = Busy::new(429, &["look", "begin", "send", "name"], seconds);
    let front = in_front(&registry.address, &busy);
    host.docker("pull busybox").ok();
    let name = format!("{}/box:1", front.address);
    host.docker(&format!("tag busybox {name}")).ok();
    let pushed = host.docker(&format!("push {name}")).run();
    assert_eq!(pushed.code, 0, "{pushed}");
    busy.was_heeded();
    pushed.says(&["waiting 1 s for", "slow down", "7 of 100 pulls left in 6 h"]);
    let digest = pushed.stdout.split("digest: ").nth(1).expect("a digest");
    let there = testkit::Crane::of(&registry.address).head("box", "1").1;
    assert!(digest.starts_with(&there), "{pushed}");
}

fn a_token_service_that_is_busy_is_waited_for(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    requires!(std::path::Path::new("/usr/bin/openssl").exists(), "openssl");
    // base64 of ann:s3cret
    let mut tokens = TokenService::start(host, "YW5uOnMzY3JldA==");
    let busy = Busy::new(429, &["token"], seconds);
    let front = in_front(&tokens.address, &busy);
    tokens.address.clone_from(&front.address);
    let registry = Registry::with_tokens(host, 5093, &tokens);
    let name = format!("{}/box:1", registry.address);
    host.docker("pull busybox").ok();
    host.docker(&format!("tag busybox {name}")).ok();
    let account = format!(
        r#"{{"auths":{{"{}":{{"username":"ann","password":"s3cret"}}}}}}"#,
        registry.address
    );
    let pushed = host
        .docker(&format!("push {name}"))
        .env("DOCKER_AUTH_CONFIG", account)
        .run();
    assert_eq!(pushed.code, 0, "{pushed}");
    busy.was_heeded();
    pushed.says(&["waiting 1 s for", "/token answered 429"]);
}

/// Names and values.
type Headers = &'static [(&'static str, &'static str)];

/// A registry that answers all of one kind so, for ever.
fn refusing(registry: &Registry, kind_of: &'static str, headers: &[(&'static str, &str)]) -> Front {
    let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
    Front::of(&registry.address, move |passing| {
        match kind(passing) == kind_of {
            true => Verdict::Answer(429, headers.clone(), String::new()),
            false => Verdict::Pass,
        }
    })
}

fn a_registry_that_stays_busy_is_given_up_on(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5094);
    let own = format!("{}/box:1", registry.address);
    host.docker("pull busybox").ok();
    host.docker(&format!("tag busybox {own}")).ok();
    host.docker(&format!("push {own}")).ok();
    host.docker(&format!("rmi {own}")).ok();
    let cases: [(&str, Headers, &str, usize); 5] = [
        // Who asks for more than a minute is not waited for.
        ("manifest", &[("Retry-After", "86400")], "wait 24 h", 2),
        (
            "manifest",
            &[("Retry-After", "99999999999999999999999")],
            "wait more than a year",
            2,
        ),
        ("blob", &[("Retry-After", "3600")], "wait 60 min", 2),
        ("manifest", &[], "answered 429", 6),
        (
            "manifest",
            &[
                ("Retry-After", "1"),
                ("RateLimit-Limit", "10"),
                ("RateLimit-Remaining", "0"),
            ],
            "0 of 10 pulls left",
            6,
        ),
    ];
    for (kind, headers, said, most) in cases {
        host.docker("rmi busybox").run();
        let front = refusing(&registry, kind, headers);
        let failed = pull(host, &format!("{}/box:1", front.address)).fails(1);
        failed.says(&[
            &front.address,
            "429",
            said,
            "docker login",
            "registry-mirrors",
        ]);
        let asked = front.count(&format!("/{kind}s/"));
        assert!(
            (1..=most).contains(&asked),
            "{kind} {headers:?}: {asked} times"
        );
    }
    let front = refusing(&registry, "begin", &[("Retry-After", "7200")]);
    host.docker("pull busybox").ok();
    let name = format!("{}/other:1", front.address);
    host.docker(&format!("tag busybox {name}")).ok();
    let failed = host.docker(&format!("push {name}")).fails(1);
    failed.says(&[&front.address, "429", "wait 2 h", "docker login"]);
    let left = kernel::files_below(&host.data_root().join("images/ingest"));
    assert!(left.is_empty(), "{left:?}");
}
