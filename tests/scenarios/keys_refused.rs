//! Keys that cannot be honoured: each is refused at its place, before anything is made.

use testkit::{Host, scenarios};

scenarios!(keys_that_cannot_be_honoured_are_refused);

fn keys_that_cannot_be_honoured_are_refused(host: &Host) {
    for (number, (keys, rest, said)) in [
        (
            "credential_spec: {file: x.json}",
            "",
            ["services.app.credential_spec", "Windows"],
        ),
        (
            "models: [llm]",
            "models: {llm: {model: ai/small}}\n",
            ["services.app.models", "x-dockless: {endpoint:"],
        ),
        ("storage_opt: {size: 1G}", "", ["storage-opt", "quota"]),
        (
            "user: '0'",
            "jobs: {once: {image: busybox, triggers: {schedule: ['0 0 30 2 *']}}}\n",
            ["jobs.once.triggers.schedule[0].cron", "never comes"],
        ),
        (
            "user: '0'",
            "jobs: {once: {image: busybox, triggers: {schedule: [{cron: '0 0 * * *', timezone: Mars/Olympus}]}}}\n",
            ["Mars/Olympus", "time zone"],
        ),
        (
            "logging: {driver: fluentd}",
            "",
            ["services.app.logging.driver", "fluentd"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let yaml = format!(
            "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    {keys}\n{rest}"
        );
        let project = host.compose_file(&format!("refused{number}"), &yaml);
        let output = project.compose("up -d").run();
        assert_ne!(output.code, 0, "{keys}: {output}");
        output.says(&said);
        assert_eq!(host.docker("ps -aq").ok(), "", "{keys}");
    }
}
