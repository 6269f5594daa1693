//! Containers of projects as services and tasks.
//!
//! Source: Docker CLI `cli/command/service/formatter.go`, `cli/command/task/formatter.go`.

use crate::labels;
use engine::container::list::Listed;
use engine::container::record::ContainerRecord;
use engine::container::state::State;
use engine::{Context, Error, Timestamp};
use std::collections::BTreeMap;

/// A service of a project, and the containers that are its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub project: String,
    pub service: String,
    /// By number.
    pub tasks: Vec<Listed>,
}

/// How a task stands, in Swarm's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskState {
    /// `Running`, `Ready`, `Shutdown`.
    pub desired: &'static str,
    /// `Running`, `Starting`, `New`, `Complete`, `Failed`, `Shutdown`.
    pub current: &'static str,
    pub since: Option<Timestamp>,
    pub error: String,
}

/// The services of all projects, by name.
pub fn services(ctx: &Context) -> Result<Vec<Service>, Error> {
    let mut found: BTreeMap<(String, String), Vec<Listed>> = BTreeMap::new();
    for record in ContainerRecord::list(ctx)? {
        // What an image says of itself makes no service of its containers.
        let label = |key: &str| record.spec.labels.get(key).cloned().unwrap_or_default();
        let (project, service) = (label(labels::PROJECT), label(labels::SERVICE));
        let oneoff = label(labels::ONEOFF).eq_ignore_ascii_case("true");
        if is_project_name(&project) && !service.is_empty() && !oneoff {
            let task = Listed::load(ctx, record)?;
            found.entry((project, service)).or_default().push(task);
        }
    }
    let services = found.into_iter().map(|((project, service), mut tasks)| {
        tasks.sort_by_key(number);
        Service {
            project,
            service,
            tasks,
        }
    });
    Ok(services.collect())
}

/// Files are called by it, so nothing else is taken for one.
pub fn is_project_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(plain) && text.chars().all(|c| plain(c) || matches!(c, '-' | '_'))
}

/// A task's number.
pub fn number(task: &Listed) -> u32 {
    let label = task.record.labels.get(labels::NUMBER);
    label.and_then(|text| text.parse().ok()).unwrap_or(1)
}

impl Service {
    /// `vote_redis`.
    pub fn name(&self) -> String {
        format!("{}_{}", self.project, self.service)
    }

    pub fn id(&self) -> String {
        super::id(&format!("{}/{}", self.project, self.service))
    }

    pub fn running(&self) -> usize {
        let runs = |task: &&Listed| matches!(task.state, State::Running { .. });
        self.tasks.iter().filter(runs).count()
    }

    /// How many have ended well.
    pub fn completed(&self) -> usize {
        let done =
            |task: &&Listed| matches!(&task.state, State::Exited(last) if last.exit_code == 0);
        self.tasks.iter().filter(done).count()
    }

    /// The newest of its containers says how it is meant to be.
    pub fn newest(&self) -> Option<&Listed> {
        self.tasks.iter().max_by_key(|task| task.record.created)
    }

    pub fn image(&self) -> &str {
        self.newest().map_or("", |task| &task.record.spec.image)
    }

    pub fn labels(&self) -> BTreeMap<String, String> {
        let newest = self.newest();
        newest
            .map(|t| t.record.spec.labels.clone())
            .unwrap_or_default()
    }

    /// `*:8080->80/tcp, …`, each once however many containers publish it.
    pub fn ports(&self) -> String {
        let mut shown: Vec<String> = Vec::new();
        for task in &self.tasks {
            for port in task_ports(task) {
                if !shown.contains(&port) {
                    shown.push(port);
                }
            }
        }
        shown.join(", ")
    }

    /// Whether a word of the command line means it: its name, its id or the beginning of that.
    pub fn is(&self, wanted: &str) -> bool {
        self.name() == wanted || (wanted.len() > 3 && self.id().starts_with(wanted))
    }
}

/// What a task publishes.
pub fn task_ports(task: &Listed) -> Vec<String> {
    let network = task.state.run().and_then(|run| run.network.as_ref());
    let ports = network.map_or(&[][..], |network| &network.ports);
    let show = |port: &network::PublishedPort| {
        let host = match port.host_ip {
            Some(ip) if ip.is_ipv6() => format!("[{ip}]"),
            Some(ip) => ip.to_string(),
            None => "*".to_owned(),
        };
        format!(
            "{host}:{}->{}/{}",
            port.host_port, port.container_port, port.protocol
        )
    };
    ports.iter().map(show).collect()
}

/// `vote_redis.1`.
pub fn task_name(service: &Service, task: &Listed) -> String {
    format!("{}.{}", service.name(), number(task))
}

pub fn task_state(task: &Listed) -> TaskState {
    let state = |desired, current, since| TaskState {
        desired,
        current,
        since,
        error: String::new(),
    };
    match &task.state {
        State::Created => state("Ready", "New", Some(task.record.created)),
        State::Running { run, .. } => state("Running", "Running", Some(run.started_at)),
        State::Paused { run, .. } => state("Running", "Paused", Some(run.started_at)),
        State::Restarting { last, .. } => TaskState {
            error: error(last.exit_code, &last.error),
            ..state("Running", "Starting", last.finished_at)
        },
        State::Exited(last) if last.stopped_by_user => {
            state("Shutdown", "Shutdown", last.finished_at)
        }
        State::Exited(last) if last.exit_code == 0 && last.error.is_empty() => {
            state("Shutdown", "Complete", last.finished_at)
        }
        State::Exited(last) => TaskState {
            error: error(last.exit_code, &last.error),
            ..state("Shutdown", "Failed", last.finished_at)
        },
    }
}

fn error(code: u8, said: &str) -> String {
    match (said, code) {
        ("", 0) => String::new(),
        ("", code) => format!("task: non-zero exit ({code})"),
        (said, _) => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_no_project() {
        assert!(is_project_name("vote") && is_project_name("1-a_b"));
        for bad in ["", "../../etc/x", "a/b", ".", "Vote", "-a", "_a"] {
            assert!(!is_project_name(bad), "{bad}");
        }
    }

    #[test]
    fn an_end_is_told_in_swarms_words() {
        assert_eq!(error(1, ""), "task: non-zero exit (1)");
        assert_eq!(error(127, "no such file"), "no such file");
        assert_eq!(error(0, ""), "");
    }
}
