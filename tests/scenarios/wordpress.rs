//! A database with a named volume and a PHP application before it: data outlives containers, and a killed database comes back.

use std::time::Duration;
use testkit::{Host, Project, eventually_within, http, kernel, requires, scenarios};

scenarios!(a_post_survives_down_and_up_and_the_death_of_the_database);

const SITE: &str = "127.0.0.1:9008";
const SLOW: Duration = Duration::from_secs(180);

fn a_post_survives_down_and_up_and_the_death_of_the_database(host: &Host) {
    requires!(
        host.has_image("mysql:8.0") && host.has_image("wordpress:latest"),
        "images mariadb and wordpress"
    );
    let project = host.project("wordpress");
    let compose = |words: &str| project.compose(&format!("-f wordpress.yml {words}"));

    compose("up -d").ok();
    let page = eventually_within(SLOW, "the install page is served", || {
        http::get(SITE, "/wp-admin/install.php?step=1")
            .filter(|p| p.status == 200 && p.body.contains("weblog_title"))
    });
    assert!(page.body.contains("WordPress"));
    let done = http::post(
        SITE,
        "/wp-admin/install.php?step=2",
        &[
            ("weblog_title", "Scenario"),
            ("user_name", "admin"),
            ("admin_password", "correct-horse-9"),
            ("admin_password2", "correct-horse-9"),
            ("pw_weak", "on"),
            ("admin_email", "admin@example.com"),
            ("blog_public", "0"),
        ],
    );
    let done = done.expect("the installation answers");
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(
        done.body.contains("Success") || done.body.contains("wp-login.php"),
        "{}",
        done.body
    );

    post(host, &project, "Written before the fall");
    assert!(front_page().contains("Written before the fall"));

    compose("down").ok();
    assert!(http::get(SITE, "/").is_none());
    assert!(
        host.docker("volume ls -q").ok().contains("db_data"),
        "down keeps named volumes"
    );
    compose("up -d").ok();
    assert!(
        front_page().contains("Written before the fall"),
        "the post is still there"
    );

    let db = compose("ps -q db").ok();
    let server = host.pid(&db);
    kernel::kill_9(server);
    eventually_within(SLOW, "the database is started again", || {
        let pid: i32 = host.inspect(&db, "{{.State.Pid}}").parse().ok()?;
        (pid > 0 && pid != server && kernel::lives(pid)).then_some(())
    });
    assert!(
        front_page().contains("Written before the fall"),
        "the site works again"
    );
    assert_ne!(host.inspect(&db, "{{.RestartCount}}"), "0");
    compose("down -v").ok();
    assert!(
        !host.docker("volume ls -q").ok().contains("db_data"),
        "down -v takes it along"
    );
}

/// Publishes a post by the application's own code.
fn post(host: &Host, project: &Project<'_>, title: &str) {
    let id = project.compose("-f wordpress.yml ps -q wordpress").ok();
    let code = format!(
        "require '/var/www/html/wp-load.php'; $id = wp_insert_post(['post_title' => '{title}', 'post_content' => 'x', \
         'post_status' => 'publish']); exit(is_int($id) && $id > 0 ? 0 : 1);"
    );
    host.docker("exec")
        .arg(id)
        .arg("php")
        .arg("-r")
        .arg(code)
        .ok();
}

fn front_page() -> String {
    eventually_within(SLOW, "the front page is served", || {
        http::get(SITE, "/").filter(|p| p.status == 200 && p.body.contains("Scenario"))
    })
    .body
}
