//! `service update`: its flags as changes.
//!
//! Source: Docker CLI reference (`docker service update`).

use super::change::{carry_out, converged, rollback};
use super::find;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::Run;
use clap::Args;
use compose::plan::up::Recreate;
use compose::swarm::changes::{Change, failure_action};
use model::restart::RestartCondition;
use std::fmt::Display;

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Service image tag
    #[arg(long, value_name = "string")]
    image: Option<String>,
    /// Number of tasks
    #[arg(long, value_name = "uint")]
    replicas: Option<u32>,
    /// Force update even if no changes require it
    #[arg(long)]
    force: bool,
    /// Rollback to previous specification
    #[arg(long)]
    rollback: bool,
    /// Service command args
    #[arg(long, value_name = "command")]
    args: Option<String>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    /// Container hostname
    #[arg(long, value_name = "string")]
    hostname: Option<String>,
    /// Add or update an environment variable
    #[arg(long, value_name = "list")]
    env_add: Vec<String>,
    /// Remove an environment variable
    #[arg(long, value_name = "list")]
    env_rm: Vec<String>,
    /// Add or update a service label
    #[arg(long, value_name = "list")]
    label_add: Vec<String>,
    /// Remove a label by its key
    #[arg(long, value_name = "list")]
    label_rm: Vec<String>,
    /// Add or update a container label
    #[arg(long, value_name = "list")]
    container_label_add: Vec<String>,
    /// Remove a container label by its key
    #[arg(long, value_name = "list")]
    container_label_rm: Vec<String>,
    /// Add or update a published port
    #[arg(long, value_name = "port")]
    publish_add: Vec<String>,
    /// Remove a published port by its target port
    #[arg(long, value_name = "port")]
    publish_rm: Vec<String>,
    /// Add or update a placement constraint
    #[arg(long, value_name = "list")]
    constraint_add: Vec<String>,
    /// Remove a constraint
    #[arg(long, value_name = "list")]
    constraint_rm: Vec<String>,
    /// Limit CPUs
    #[arg(long, value_name = "decimal")]
    limit_cpu: Option<String>,
    /// Limit Memory
    #[arg(long, value_name = "bytes")]
    limit_memory: Option<String>,
    /// Limit maximum number of processes
    #[arg(long, value_name = "int")]
    limit_pids: Option<i64>,
    /// Reserve Memory
    #[arg(long, value_name = "bytes")]
    reserve_memory: Option<String>,
    /// Restart when condition is met ("none", "on-failure", "any")
    #[arg(long, value_name = "string")]
    restart_condition: Option<String>,
    /// Delay between restart attempts (ns|us|ms|s|m|h)
    #[arg(long, value_name = "duration")]
    restart_delay: Option<String>,
    /// Maximum number of restarts before giving up
    #[arg(long, value_name = "uint")]
    restart_max_attempts: Option<u32>,
    /// Time to wait before force killing a container (ns|us|ms|s|m|h)
    #[arg(long, value_name = "duration")]
    stop_grace_period: Option<String>,
    /// Maximum number of tasks updated simultaneously (0 to update all at once)
    #[arg(long, value_name = "uint")]
    update_parallelism: Option<u32>,
    /// Delay between updates (ns|us|ms|s|m|h)
    #[arg(long, value_name = "duration")]
    update_delay: Option<String>,
    /// Duration after each task update to monitor for failure (ns|us|ms|s|m|h)
    #[arg(long, value_name = "duration")]
    update_monitor: Option<String>,
    /// Update order ("start-first", "stop-first")
    #[arg(long, value_name = "string")]
    update_order: Option<String>,
    /// Action on update failure ("pause", "continue", "rollback")
    #[arg(long, value_name = "string")]
    update_failure_action: Option<String>,
    /// Failure rate to tolerate during an update
    #[arg(long, value_name = "float")]
    update_max_failure_ratio: Option<f64>,
    /// Exit immediately instead of waiting for the service to converge
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    detach: Option<String>,
    /// Suppress progress output
    #[arg(short, long)]
    quiet: bool,
    #[arg(long, hide = true)]
    with_registry_auth: bool,
    #[arg(long, hide = true)]
    no_resolve_image: bool,
    #[arg(required = true)]
    service: String,
}

impl Run for Update {
    fn run(self, session: &Session) -> Outcome {
        let changes = self.changes()?;
        let service = find(session, &self.service)?;
        if self.rollback {
            rollback(session, &service)?;
        } else {
            let recreate = match self.force {
                true => Recreate::Always,
                false => Recreate::Diverged,
            };
            carry_out(session, &service, &changes, recreate)?;
        }
        output::line(&self.service)?;
        let follows = !self.quiet && self.detach.as_deref() != Some("true");
        if follows && self.replicas != Some(0) {
            converged(session, &service.name())?;
        }
        Ok(0)
    }
}

fn wrong<'a>(flag: &'a str, value: &'a str) -> impl Fn(&dyn Display) -> Failure + 'a {
    move |cause| {
        Failure::said(format!(
            "invalid argument {value:?} for \"--{flag}\" flag: {cause}"
        ))
        .code(125)
    }
}

impl Update {
    /// Everything that was asked for, or the first thing that makes no sense.
    fn changes(&self) -> Result<Vec<Change>, Failure> {
        let mut changes = Vec::new();
        changes.extend(self.image.clone().map(Change::Image));
        changes.extend(self.replicas.map(Change::Replicas));
        changes.extend(self.user.clone().map(Change::User));
        changes.extend(self.workdir.clone().map(Change::WorkingDir));
        changes.extend(self.hostname.clone().map(Change::Hostname));
        if let Some(text) = &self.args {
            let words = shell_words::split(text).map_err(|e| wrong("args", text)(&e))?;
            changes.push(Change::Args(words));
        }
        self.maps(&mut changes);
        self.ports(&mut changes)?;
        self.resources(&mut changes)?;
        self.restarts(&mut changes)?;
        self.rollout(&mut changes)?;
        Ok(changes)
    }

    fn maps(&self, changes: &mut Vec<Change>) {
        let value = |entry: &String| match entry.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            // As for `run -e`: without a value, that of the caller.
            None => (
                entry.clone(),
                Some(std::env::var(entry).unwrap_or_default()),
            ),
        };
        let label = |entry: &String| match entry.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (entry.clone(), Some(String::new())),
        };
        let gone = |key: &String| (key.clone(), None);
        let env = self.env_add.iter().map(value);
        let env = env.chain(self.env_rm.iter().map(gone));
        changes.extend(env.map(|(key, value)| Change::Environment(key, value)));
        let labels = self.label_add.iter().map(label);
        let labels = labels.chain(self.label_rm.iter().map(gone));
        changes.extend(labels.map(|(key, value)| Change::ServiceLabel(key, value)));
        let labels = self.container_label_add.iter().map(label);
        let labels = labels.chain(self.container_label_rm.iter().map(gone));
        changes.extend(labels.map(|(key, value)| Change::ContainerLabel(key, value)));
        let constraint = |wanted| move |text: &String| Change::Constraint(text.clone(), wanted);
        changes.extend(self.constraint_rm.iter().map(constraint(false)));
        changes.extend(self.constraint_add.iter().map(constraint(true)));
    }

    fn ports(&self, changes: &mut Vec<Change>) -> Result<(), Failure> {
        for text in &self.publish_rm {
            let (_, target) =
                short_port(text).ok_or_else(|| wrong("publish-rm", text)(&"no port"))?;
            model::port::parse_expose(&target).map_err(|e| wrong("publish-rm", text)(&e))?;
            changes.push(Change::Unpublish(target));
        }
        for text in &self.publish_add {
            let (short, _) =
                short_port(text).ok_or_else(|| wrong("publish-add", text)(&"no target port"))?;
            model::port::parse(&short).map_err(|e| wrong("publish-add", text)(&e))?;
            changes.push(Change::Publish(short));
        }
        Ok(())
    }

    fn resources(&self, changes: &mut Vec<Change>) -> Result<(), Failure> {
        let size = |flag: &'static str, text: &String| {
            model::size::parse(text).map_err(|e| wrong(flag, text)(&e))
        };
        if let Some(text) = &self.limit_cpu {
            let nano = model::limits::parse_cpus(text).map_err(|e| wrong("limit-cpu", text)(&e))?;
            changes.push(Change::LimitCpus(nano));
        }
        if let Some(text) = &self.limit_memory {
            changes.push(Change::LimitMemory(size("limit-memory", text)?));
        }
        if let Some(text) = &self.reserve_memory {
            changes.push(Change::ReserveMemory(size("reserve-memory", text)?));
        }
        changes.extend(self.limit_pids.map(Change::LimitPids));
        Ok(())
    }

    fn restarts(&self, changes: &mut Vec<Change>) -> Result<(), Failure> {
        if let Some(text) = &self.restart_condition {
            changes.push(Change::RestartCondition(match text.as_str() {
                "none" => RestartCondition::No,
                "on-failure" => RestartCondition::OnFailure,
                "any" => RestartCondition::Always,
                _ => {
                    let cause = "use none, on-failure or any";
                    return Err(wrong("restart-condition", text)(&cause));
                }
            }));
        }
        if let Some(text) = &self.restart_delay {
            changes.push(Change::RestartDelay(time("restart-delay", text)?));
        }
        changes.extend(self.restart_max_attempts.map(Change::RestartAttempts));
        if let Some(text) = &self.stop_grace_period {
            changes.push(Change::StopGracePeriod(time("stop-grace-period", text)?));
        }
        Ok(())
    }

    fn rollout(&self, changes: &mut Vec<Change>) -> Result<(), Failure> {
        changes.extend(self.update_parallelism.map(Change::Parallelism));
        if let Some(text) = &self.update_delay {
            changes.push(Change::Delay(time("update-delay", text)?));
        }
        if let Some(text) = &self.update_monitor {
            changes.push(Change::Monitor(time("update-monitor", text)?));
        }
        if let Some(text) = &self.update_order {
            changes.push(Change::StartFirst(match text.as_str() {
                "start-first" => true,
                "stop-first" => false,
                _ => {
                    return Err(wrong("update-order", text)(
                        &"use start-first or stop-first",
                    ));
                }
            }));
        }
        if let Some(text) = &self.update_failure_action {
            if failure_action(text).is_none() {
                let cause = "use pause, continue or rollback";
                return Err(wrong("update-failure-action", text)(&cause));
            }
            changes.push(Change::FailureAction(text.clone()));
        }
        changes.extend(self.update_max_failure_ratio.map(Change::MaxFailureRatio));
        Ok(())
    }
}

fn time(flag: &str, text: &str) -> Result<std::time::Duration, Failure> {
    model::duration::parse(text).map_err(|e| wrong(flag, text)(&e))
}

/// `published=8080,target=80,protocol=udp`, or the short form, as the short form and as the container's port alone.
fn short_port(text: &str) -> Option<(String, String)> {
    let protocol = |text: &str| format!("/{text}");
    if !text.contains('=') {
        let (ports, of) = match text.split_once('/') {
            Some((ports, of)) => (ports, protocol(of)),
            None => (text, String::new()),
        };
        let target = ports.rsplit(':').next()?;
        return Some((text.to_owned(), format!("{target}{of}")));
    }
    let (mut published, mut target, mut of) = ("", "", String::new());
    for pair in text.split(',') {
        match pair.split_once('=')? {
            ("published", value) => published = value,
            ("target", value) => target = value,
            ("protocol", value) => of = protocol(value),
            // Every port is published on this host: the modes are one.
            ("mode", "ingress" | "host") => {}
            _ => return None,
        }
    }
    if target.is_empty() {
        return None;
    }
    let short = match published {
        "" => format!("{target}{of}"),
        published => format!("{published}:{target}{of}"),
    };
    Some((short, format!("{target}{of}")))
}

#[cfg(test)]
mod tests {
    use super::short_port;

    #[test]
    fn both_forms_of_a_port_are_one() {
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(short_port("8080:80"), pair("8080:80", "80"));
        assert_eq!(short_port("80/udp"), pair("80/udp", "80/udp"));
        assert_eq!(
            short_port("published=53,target=5353,protocol=udp,mode=host"),
            pair("53:5353/udp", "5353/udp")
        );
        assert_eq!(short_port("target=80"), pair("80", "80"));
        assert_eq!(short_port("published=80"), None);
        assert_eq!(short_port("target=80,mode=magic"), None);
    }
}
