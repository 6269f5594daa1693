//! What scripts write after `--format`, and what an attacker might.

use super::Template;
use serde_json::{Value, json};

fn data() -> Value {
    json!({
        "Id": "abc", "Name": "/web",
        "State": {"Status": "running", "Running": true, "ExitCode": 0, "Pid": 42},
        "Config": {"Env": ["A=1", "B=2"], "Labels": {"com.x": "y", "k": "v"}, "Entrypoint": null, "Image": "nginx"},
        "NetworkSettings": {
            "Networks": {"front": {"IPAddress": "172.18.0.2"}, "back": {"IPAddress": "172.19.0.2"}},
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": null}
        },
        "Mounts": [{"Type": "volume", "Name": "db"}, {"Type": "bind", "Name": ""}],
        "Empty": []
    })
}

fn run(source: &str) -> String {
    Template::parse(source)
        .unwrap_or_else(|e| panic!("{source}: {e}"))
        .execute(&data())
        .unwrap_or_else(|e| e.0)
}

fn broken(source: &str) -> String {
    Template::parse(source).expect_err(source).0
}

#[test]
fn what_scripts_write_gives_what_docker_prints() {
    for (source, wanted) in [
        ("{{.State.Status}}", "running"),
        ("{{.ID}}", "abc"),
        (
            "{{json .State}}",
            r#"{"Status":"running","Running":true,"ExitCode":0,"Pid":42}"#,
        ),
        (
            "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}",
            "172.19.0.2 172.18.0.2 ",
        ),
        (
            "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}};{{end}}",
            "back=172.19.0.2;front=172.18.0.2;",
        ),
        (
            r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#,
            "8080",
        ),
        (
            r#"{{range $p, $conf := .NetworkSettings.Ports}} {{$p}} -> {{(index $conf 0).HostPort}} {{end}}"#,
            r#"template: :1:59: executing "" at <index>: error calling index: index of nil pointer"#,
        ),
        (r#"{{index .Config.Labels "com.x"}}"#, "y"),
        (r#"[{{index .Config.Labels "none"}}]"#, "[]"),
        ("{{.Config.Labels.none}}", "<no value>"),
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{.Config.Entrypoint}}", "[]"),
        ("{{json .Config.Entrypoint}}", "null"),
        ("{{.Config.Labels}}", "map[com.x:y k:v]"),
        (r#"{{join .Config.Env ", "}}"#, "A=1, B=2"),
        (r#"{{.Name | printf "%-8s|"}}"#, "/web    |"),
        ("{{slice .Name 1}}", "web"),
        ("{{len .Mounts}}", "2"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        (
            r#"{{if eq .State.Status "exited"}}a{{else if eq .State.Status "running" "paused"}}b{{else}}c{{end}}"#,
            "b",
        ),
        ("{{with .Empty}}some{{else}}none{{end}}", "none"),
        ("{{range .Empty}}x{{else}}nothing{{end}}", "nothing"),
        (
            r#"{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{end}}{{end}}"#,
            "db",
        ),
        ("a {{- .Name -}} b", "a/webb"),
        ("{{/* note */}}x", "x"),
        (
            r#"{{$n := .Name}}{{range .Mounts}}{{$n}}:{{.Type}} {{end}}"#,
            "/web:volume /web:bind ",
        ),
        (
            r#"{{$n := 1}}{{range .Mounts}}{{$n = len .Name}}{{end}}{{$n}}"#,
            "0",
        ),
        (
            r#"{{range $i, $m := .Mounts}}{{if $i}}{{break}}{{end}}{{$m.Type}}{{end}}"#,
            "volume",
        ),
        ("{{and .State.Running (not .State.ExitCode)}}", "true"),
        (r#"{{or .Empty "fallback"}}"#, "fallback"),
        (
            r#"{{upper .Name}} {{lower "ABC"}} {{title "big world"}}"#,
            "/WEB abc Big World",
        ),
        (r#"{{index (split "a/b/c" "/") 1}}"#, "b"),
        (
            r#"{{printf "%05d|%x|%q|%v|%t|%.1f|%%" 42 255 "a\"b" .Empty true 1.25}}"#,
            r#"00042|ff|"a\"b"|[]|true|1.2|%"#,
        ),
        (r#"{{println "x"}}"#, "x\n"),
        (r#"{{pad "x" 1 2}}|{{truncate "abcdef" 3}}"#, " x  |abc"),
        (r#"{{ge 3 2}}{{lt "a" "b"}}"#, "truetrue"),
        (r#"{{`raw "text"`}}"#, r#"raw "text""#),
        ("{{'a'}} {{0x10}} {{-3}}", "97 16 -3"),
        ("{{$.Name}}", "/web"),
    ] {
        assert_eq!(run(source), wanted, "{source}");
    }
}

#[test]
fn errors_are_in_gos_words() {
    assert_eq!(
        run("{{.Foo}}"),
        r#"template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo""#
    );
    assert_eq!(
        run("{{.State.Foo}}"),
        r#"template: :1:8: executing "" at <.State.Foo>: map has no entry for key "Foo""#
    );
    assert_eq!(
        run(r#"{{eq .Name 1}}"#),
        r#"template: :1:2: executing "" at <eq>: error calling eq: incompatible types for comparison"#
    );
    assert_eq!(
        run("{{.Name.X}}"),
        r#"template: :1:7: executing "" at <.Name.X>: can't evaluate field X in type string"#
    );
    assert_eq!(broken("{{.Foo"), "template: :1: unclosed action");
    assert_eq!(
        broken("{{foo}}"),
        r#"template: :1: function "foo" not defined"#
    );
    assert_eq!(broken("{{$x}}"), r#"template: :1: undefined variable "$x""#);
    assert_eq!(broken("{{if .A}}x"), "template: :1: unexpected EOF");
    assert_eq!(broken("x\n{{end}}"), "template: :2: unexpected {{end}}");
    assert_eq!(broken("{{}}"), "template: :1: missing value for command");
    assert_eq!(
        broken("{{.A | }}"),
        "template: :1: missing command after | in command"
    );
    assert_eq!(
        broken(r#"{{"abc}}"#),
        "template: :1: unterminated quoted string"
    );
    assert_eq!(
        broken("{{break}}"),
        "template: :1: {{break}} outside {{range}}"
    );
}

#[test]
fn methods_with_arguments_belong_to_the_top_level_object() {
    let template = Template::parse(r#"{{.Label "k"}}-{{.Name}}"#).unwrap();
    let methods = |name: &str, args: &[Value]| {
        (name == "Label").then(|| format!("<{}>", args[0].as_str().unwrap()).into())
    };
    assert_eq!(
        template.execute_with(&data(), Some(&methods)).unwrap(),
        "<k>-/web"
    );
}

#[test]
fn hostile_templates_end_in_an_error_not_in_a_crash() {
    for source in [
        "{{".repeat(5000),
        "{{(".to_owned() + &"(".repeat(5000),
        "{{if .A}}".repeat(5000),
        "{{if 1}}".to_owned() + &"{{else if 1}}".repeat(5000) + "{{end}}",
        "{{\u{0}}}".into(),
        "{{'".into(),
        "{{\"\\u12".into(),
        "{{`".into(),
        "{{-".into(),
        "{{- ".into(),
        "{{/*".into(),
        "{{é}}{{.é".into(),
        "{{9999999999999999999999}}{{".into(),
        "{{$".into(),
        "{{range $a, $b, $c := .}}{{end}}".into(),
        "{{end}}{{else}}".into(),
        "{{-1é}}".into(),
    ] {
        assert!(
            Template::parse(&source).is_err(),
            "{}",
            &source[..source.len().min(40)]
        );
    }
    assert_eq!(run(r#"{{printf "%99999999d" 1}}"#).len(), 4096);
    assert!(run(r#"{{slice "abc" -1}}"#).contains("out of range"));
    assert!(run(r#"{{index .Mounts 99}}"#).contains("out of range"));
    assert!(run(r#"{{range 99999999999}}x{{end}}"#).contains("can't iterate"));
}
