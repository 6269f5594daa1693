//! Projects as people write them.

use super::*;
use model::mount::MountKind;
use model::restart::RestartCondition;

#[test]
fn the_counter() {
    let files = [(
        "/app/docker/docker-compose.yml",
        "version: '3'\nservices:\n  web:\n    build: ../\n    ports:\n     - \"5000:5000\"\n  redis:\n    image: redis:3.0.7\n",
    )];
    let loaded = ok(load_with(
        &Options {
            current_dir: "/app/docker".into(),
            ..options()
        },
        &files,
    ));
    let project = &loaded.project;
    assert_eq!(
        (project.name.as_str(), project.services.len()),
        ("docker", 2)
    );
    let web = project.service("web").unwrap();
    assert_eq!(
        (
            web.build.as_ref().unwrap().context.as_str(),
            web.image_name(&project.name).as_str()
        ),
        ("/app", "docker-web")
    );
    assert_eq!(project.networks["default"].spec.name, "docker_default");
}

#[test]
fn wordpress() {
    let text = r#"
version: '3.3'

services:
   db:
     image: mysql:8.0
     command:
       - '--default_authentication_plugin=mysql_native_password'
       - '--character-set-server=utf8mb4'
       - '--collation-server=utf8mb4_unicode_ci'
     volumes:
       - db_data:/var/lib/mysql
     restart: always
     environment:
       MYSQL_ROOT_PASSWORD: somewordpress
       MYSQL_DATABASE: wordpress

   wordpress:
     depends_on:
       - db
     image: wordpress:latest
     ports:
       - "9008:80"
     restart: always
     environment:
       WORDPRESS_DB_HOST: db:3306
volumes:
    db_data:
"#;
    let files = [("/w/wordpress.yml", text)];
    let loaded = ok(load_with(
        &Options {
            current_dir: "/w".into(),
            files: vec!["wordpress.yml".into()],
            ..options()
        },
        &files,
    ));
    let db = loaded.project.service("db").unwrap();
    assert_eq!(db.command.as_ref().unwrap().len(), 3);
    assert_eq!(db.restart_policy().condition, RestartCondition::Always);
    assert!(
        matches!(&db.volumes[0].mount.kind, MountKind::Volume { name: Some(name), .. } if name == "db_data")
    );
    assert_eq!(loaded.project.volumes["db_data"].name, "w_db_data");
    let site = loaded.project.service("wordpress").unwrap();
    assert_eq!(
        site.environment["WORDPRESS_DB_HOST"].as_deref(),
        Some("db:3306")
    );
    assert!(site.depends_on.contains_key("db"));
}

#[test]
fn the_vote() {
    let text = r#"
version: "3"
services:

  redis:
    image: redis:alpine
    ports:
      - "6379"
    networks:
      - frontend
    deploy:
      replicas: 2
      update_config:
        parallelism: 2
        delay: 10s
      restart_policy:
        condition: on-failure
  db:
    image: postgres:9.4
    environment:
      POSTGRES_USER: "postgres"
    volumes:
      - db-data:/var/lib/postgresql/data
    networks:
      - backend
    deploy:
      placement:
        constraints: [node.role == manager]
  worker:
    image: worker
    networks: [frontend, backend]
    deploy:
      mode: replicated
      replicas: 1
      labels: [APP=VOTING]
      restart_policy:
        condition: on-failure
        delay: 10s
        max_attempts: 3
        window: 120s
      placement:
        constraints: [node.role == manager]
  visualizer:
    image: viz:stable
    ports:
      - "8080:8080"
    stop_grace_period: 1m30s
    volumes:
      - "/var/run/docker.sock:/var/run/docker.sock"
networks:
  frontend:
  backend:

volumes:
  db-data:
"#;
    let loaded = ok(load_text(text));
    let project = &loaded.project;
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(project.service("redis").unwrap().replicas(), 2);
    let worker = project.service("worker").unwrap();
    assert_eq!(worker.networks.len(), 2);
    let policy = worker.restart_policy();
    assert_eq!(
        (
            policy.max_attempts,
            policy.delay.unwrap().as_secs(),
            policy.window.unwrap().as_secs()
        ),
        (Some(3), 10, 120)
    );
    let viewer = project.service("visualizer").unwrap();
    assert_eq!(viewer.stop_grace_period.unwrap().as_secs(), 90);
    assert!(
        matches!(&viewer.volumes[0].mount.kind, MountKind::Bind { source, .. } if source == "/var/run/docker.sock")
    );
    assert_eq!(viewer.networks[0].network, "default");
    assert_eq!(project.networks.len(), 3);
}

#[test]
fn every_key_in_one_service() {
    let text = r#"
version: '2'
services:
  web:
    build: .
    image: web:1
    depends_on: [db]
    deploy: {replicas: 1}
    ports: ["80:80", "80"]
    volumes: ["data:/data", "./conf:/conf"]
    environment: [A=1, B=two]
    dns: [8.8.8.8, 9.9.9.9]
    command: ["python", "app.py"]
    networks: [app_net]
  db: {image: postgres, networks: [app_net]}
networks:
  app_net:
    driver: bridge
    ipam:
      driver: default
      config:
        - subnet: 172.16.238.0/24
          gateway: 172.16.238.1
volumes:
  data: {}
"#;
    let project = ok(load_text(text)).project;
    let web = project.service("web").unwrap();
    assert_eq!(
        (web.ports.len(), web.dns.len(), web.volumes.len()),
        (2, 2, 2)
    );
    assert_eq!(
        project.networks["app_net"].spec.ipam[0].subnet.as_deref(),
        Some("172.16.238.0/24")
    );
    assert!(!project.networks.contains_key("default"));
}
