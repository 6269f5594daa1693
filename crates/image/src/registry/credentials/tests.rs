//! Accounts as files, the environment and helpers have them.

use super::*;

fn password(username: &str, password: &str) -> Credential {
    Credential::Password {
        username: username.into(),
        password: password.into(),
    }
}

#[test]
fn what_is_put_is_got_and_the_rest_of_the_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub/config.json");
    let mut config = DockerConfig::read(&path).unwrap();
    assert_eq!(config.get("docker.io").unwrap(), None);
    config.document.insert("psFormat".into(), json!("table"));
    config.put("docker.io", &password("me", "a:b")).unwrap();
    config
        .put("localhost:5000", &password("you", "secret"))
        .unwrap();
    let mut again = DockerConfig::read(&path).unwrap();
    assert_eq!(again.get("docker.io").unwrap(), Some(password("me", "a:b")));
    assert_eq!(
        again.get("localhost:5000").unwrap(),
        Some(password("you", "secret"))
    );
    assert!(std::fs::read_to_string(&path).unwrap().contains("psFormat"));
    assert!(again.remove("localhost:5000").unwrap());
    assert!(!again.remove("localhost:5000").unwrap());
    assert_eq!(
        DockerConfig::read(&path)
            .unwrap()
            .get("localhost:5000")
            .unwrap(),
        None
    );
}

#[test]
fn servers_are_found_however_they_were_written() {
    let text = r#"{"auths":{"https://reg.example/v2/":{"auth":"dTpw"},"index.docker.io":{"identitytoken":"t"}}}"#;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, text).unwrap();
    let config = DockerConfig::read(&path).unwrap();
    assert_eq!(config.get("reg.example").unwrap(), Some(password("u", "p")));
    assert_eq!(
        config.get("docker.io").unwrap(),
        Some(Credential::IdentityToken("t".into()))
    );
    assert_eq!(config.get("other.example").unwrap(), None);
}

#[test]
fn the_most_specific_key_counts() {
    let entry = |user: &str| json!({"auth": STANDARD.encode(format!("{user}:p"))});
    let document = json!({"auths": {
        "quay.io": entry("all"), "quay.io/team": entry("team"), "quay.io/team/app": entry("app"),
        "docker.io/library/redis": entry("redis"), "https://index.docker.io/v1/": entry("hub"),
        "only.example/team": entry("only"), "old.example/v2/": entry("old"),
    }});
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth.json");
    std::fs::write(&path, document.to_string()).unwrap();
    let options = RegistryOptions {
        docker_config: Some(dir.path().join("none")),
        auth_files: vec![path],
        ..RegistryOptions::default()
    };
    let user =
        |registry: &str, repository: &str| match find(&options, registry, repository).unwrap() {
            Some(Credential::Password { username, .. }) => username,
            _ => "nobody".into(),
        };
    assert_eq!(user("quay.io", "team/app"), "app");
    assert_eq!(user("quay.io", "team/application"), "team");
    assert_eq!(user("quay.io", "other/app"), "all");
    assert_eq!(user("docker.io", "library/redis"), "redis");
    assert_eq!(user("docker.io", "library/nginx"), "hub");
    assert_eq!(user("only.example", "team/x"), "only");
    assert_eq!(user("only.example", "x"), "nobody");
    assert_eq!(user("old.example", "x"), "old");
    assert_eq!(user("quay.io.evil", "team/app"), "nobody");
}

#[test]
fn the_environment_comes_first_and_the_oldest_file_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".dockercfg");
    std::fs::write(&path, r#"{"https://r.example/v1/":{"auth":"dTpw"}}"#).unwrap();
    let mut options = RegistryOptions {
        auth_files: vec![path],
        ..RegistryOptions::default()
    };
    let found = |options: &RegistryOptions| find(options, "r.example", "x");
    assert_eq!(found(&options).unwrap(), Some(password("u", "p")));
    options.auth_text = Some(AuthText(
        r#"{"auths":{"r.example":{"registrytoken":"t"}}}"#.into(),
    ));
    assert_eq!(
        found(&options).unwrap(),
        Some(Credential::RegistryToken("t".into()))
    );
    options.auth_text = Some(AuthText("{\"auths\": hunter2".into()));
    let error = found(&options).unwrap_err();
    let told = format!("{error} {error:?} {options:?}");
    assert!(
        told.contains("DOCKER_AUTH_CONFIG") && !told.contains("hunter2"),
        "{told}"
    );
}

#[test]
fn only_headers_for_registries_are_sent_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(
        &path,
        r#"{"HttpHeaders":{"X-Meta-Team":"a","Authorization":"b"}}"#,
    )
    .unwrap();
    let options = RegistryOptions {
        docker_config: Some(path),
        ..RegistryOptions::default()
    };
    assert_eq!(
        meta_headers(&options).unwrap(),
        [("X-Meta-Team".to_owned(), "a".to_owned())]
    );
}

#[test]
fn secrets_do_not_appear_in_debug_output() {
    assert!(!format!("{:?}", password("u", "hunter2")).contains("hunter2"));
}

#[test]
fn a_helper_that_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, r#"{"credsStore":"no-such-helper-here"}"#).unwrap();
    let error = DockerConfig::read(&path)
        .unwrap()
        .get("x.example")
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("docker-credential-no-such-helper-here")
    );
    std::fs::write(&path, r#"{"credsStore":"../../bin/sh"}"#).unwrap();
    assert!(matches!(
        DockerConfig::read(&path).unwrap().get("x.example"),
        Err(Error::HelperName(_))
    ));
}
