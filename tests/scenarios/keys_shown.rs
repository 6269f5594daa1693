//! Keys that are told rather than acted upon, and keys whose effect is what a command shows.

use testkit::{Host, kernel, scenarios};

scenarios!(
    what_has_no_effect_is_told_once_and_stops_nothing,
    up_shows_no_output_of_who_is_not_attached,
    entitlements_of_a_build_are_granted,
    what_is_declared_is_shown,
    a_service_is_told_where_its_models_are
);

const TOLD: &str = "\
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    cpu_count: 2
    cpu_percent: 50
    isolation: hyperv
    pull_refresh_after: 24h
    environment: {LEVEL: one}
    configs: [templated]
    secrets: [driven]
configs:
  templated:
    content: '{{.Service.Name}} {{.Node.Hostname}} {{env \"LEVEL\"}} {{secret \"driven\"}}'
    template_driver: golang
secrets:
  driven: {file: ./secret, driver: vault, driver_opts: {a: b}}
";

fn what_has_no_effect_is_told_once_and_stops_nothing(host: &Host) {
    let project = host.compose_file("told", TOLD);
    project.write("secret", "word");
    let said = project.compose("up -d").run();
    assert_eq!(said.code, 0, "{said}");
    for key in [
        "services.app.cpu_count",
        "services.app.cpu_percent",
        "services.app.isolation",
        "services.app.pull_refresh_after",
        "secrets.driven.driver",
    ] {
        assert_eq!(said.all().matches(key).count(), 1, "{key}: {said}");
    }
    said.says(&["only Windows containers know it", "every_<duration>"]);
    let pid = host.pid("told-app-1");
    assert_eq!(kernel::file_in(pid, "/run/secrets/driven"), "word");
    let here = kernel::tool_ok("uname -n");
    let made = format!("told_app {here} one word");
    assert_eq!(kernel::file_in(pid, "/templated"), made);
    // What the template is made of counts, too.
    project.write("secret", "other");
    project.compose("up -d").ok();
    let pid = host.pid("told-app-1");
    assert_eq!(
        kernel::file_in(pid, "/templated"),
        made.replace("word", "other")
    );
    project.compose("down").ok();
    project.replace("docker-compose.yml", ".Service.Name", ".Task.Slot");
    let refused = project.compose("up -d").run();
    assert_ne!(refused.code, 0, "{refused}");
    refused.says(&["configs.templated.template_driver", ".Service"]);
    assert_eq!(host.docker("ps -aq").ok(), "");
}

fn up_shows_no_output_of_who_is_not_attached(host: &Host) {
    let yaml = "services:\n  loud:\n    image: busybox\n    command: echo from the loud one\n  \
                quiet:\n    image: busybox\n    command: echo from the quiet one\n    attach: false\n";
    let project = host.compose_file("attach", yaml);
    let said = project.compose("up").run();
    assert_eq!(said.code, 0, "{said}");
    said.says(&["from the loud one"]);
    assert!(!said.all().contains("from the quiet one"), "{said}");
    project
        .compose("logs quiet")
        .run()
        .says(&["from the quiet one"]);
    // A flag is nearer than the file.
    let said = project.compose("up --attach quiet").run();
    said.says(&["from the quiet one"]);
    project.compose("down").ok();
}

const BUILT: &str = "\
services:
  strong:
    image: built-strong
    build: &build
      context: .
      dockerfile_inline: |
        FROM busybox
        ARG WORD
        RUN grep CapBnd /proc/self/status > /caps; echo $WORD; ls /sys/class/net > /net
      args: {WORD: strong}
      network: host
      entitlements: [security.insecure, network.host]
      isolation: hyperv
      provenance: mode=max
      sbom: true
  weak:
    image: built-weak
    build:
      <<: *build
      args: {WORD: weak}
      network: none
      entitlements: []
";

fn entitlements_of_a_build_are_granted(host: &Host) {
    let project = host.compose_file("granted", BUILT);
    let said = project.compose("build").run();
    assert_eq!(said.code, 0, "{said}");
    for key in ["isolation", "provenance", "sbom"] {
        said.says(&[&format!("services.strong.build.{key}")]);
    }
    let seen = |image: &str, file: &str| host.docker(&format!("run --rm {image} cat {file}")).ok();
    let all = kernel::status_field(std::process::id() as i32, "CapBnd");
    assert!(seen("built-strong", "/caps").contains(&all));
    assert!(!seen("built-weak", "/caps").contains(&all));
    let links = kernel::links();
    let shown = seen("built-strong", "/net");
    assert!(shown.lines().all(|name| links.contains(name)), "{shown}");
    assert_eq!(seen("built-weak", "/net"), "lo");
}

fn what_is_declared_is_shown(host: &Host) {
    let yaml = "services:\n  app:\n    image: busybox\n    configs: [c]\n    secrets: [s]\n\
                configs:\n  c: {content: text, labels: {team: shop}}\nsecrets:\n  s: {file: ./s, labels: [team=bank]}\n";
    let project = host.compose_file("shown", yaml);
    project.write("s", "");
    let shown: String = project.compose("config --format json").ok();
    let compact: String = shown.split_whitespace().collect();
    assert!(compact.contains(r#""labels":{"team":"shop"}"#), "{shown}");
    assert!(compact.contains(r#""labels":{"team":"bank"}"#), "{shown}");
}

const MODELS: &str = "\
services:
  app:
    image: busybox
    command: sleep 1000
    models: [small-one]
  own:
    image: busybox
    command: sleep 1000
    models: {large: {endpoint_var: WHERE, model_var: WHAT}}
models:
  small-one: {model: ai/small, context_size: 4096, runtime_flags: [--fast]}
  large: {model: ai/large, x-dockless: {endpoint: 'http://10.0.0.2:8080/v1'}}
";

fn a_service_is_told_where_its_models_are(host: &Host) {
    let project = host.compose_file("models", MODELS);
    let refused = project.compose("up -d").run();
    assert_ne!(refused.code, 0);
    refused.says(&["services.app.models", "x-dockless", "model-endpoint"]);
    assert_eq!(host.docker("ps -aq").ok(), "");

    project.write(
        "engine.json",
        "{\"model-endpoint\": \"http://10.0.0.1:12434/engines/v1\"}",
    );
    let config = project.dir().join("engine.json");
    let up = || {
        let up = project.compose("up -d");
        up.env("DOCKLESS_CONFIG", config.display().to_string())
    };
    let told = up().run();
    assert_eq!(told.code, 0, "{told}");
    told.says(&[
        "models.small-one.context_size",
        "models.small-one.runtime_flags",
    ]);
    let variables = |name: &str| kernel::environment(host.pid(name));
    let app = variables("models-app-1");
    assert_eq!(app["SMALL_ONE_URL"], "http://10.0.0.1:12434/engines/v1");
    assert_eq!(app["SMALL_ONE_MODEL"], "ai/small");
    let own = variables("models-own-1");
    assert_eq!(own["WHERE"], "http://10.0.0.2:8080/v1");
    assert_eq!(own["WHAT"], "ai/large");
    // Another server makes another container, of that service alone.
    project.write(
        "engine.json",
        "{\"model-endpoint\": \"http://10.0.0.9/v1\"}",
    );
    let before = host.pid("models-own-1");
    assert_eq!(up().run().code, 0);
    assert_eq!(
        variables("models-app-1")["SMALL_ONE_URL"],
        "http://10.0.0.9/v1"
    );
    assert_eq!(host.pid("models-own-1"), before);

    let misspelt = MODELS.replace("x-dockless: {endpoint:", "x-dockless: {endpont:");
    project.write("docker-compose.yml", &misspelt);
    let refused = project.compose("config").run();
    assert_ne!(refused.code, 0);
    refused.says(&["unknown key", "endpont"]);
}
