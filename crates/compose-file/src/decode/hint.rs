//! How a value is written, by its key: for values that cannot be read and whose error names no way out.

/// What to write instead of what could not be read.
pub(super) fn of(path: &str) -> Option<&'static str> {
    let key = path.rsplit('.').next()?;
    let key = key.split('[').next()?;
    Some(match key {
        "mem_limit" | "mem_reservation" | "memswap_limit" | "memory" | "shm_size" | "size" => {
            "write a number with its unit, as in 512m or 2g"
        }
        "interval" | "timeout" | "start_period" | "start_interval" | "stop_grace_period"
        | "delay" | "window" | "monitor" => "write a duration, as in 30s or 1m30s",
        "scale"
        | "replicas"
        | "retries"
        | "pids_limit"
        | "pids"
        | "max_attempts"
        | "parallelism"
        | "cpu_shares"
        | "max_replicas_per_node" => {
            "write a whole number; a variable without a value can have one, as in ${NAME:-1}"
        }
        "cpus" => "write how many CPUs, as in 0.5 or 2",
        "cpu_percent" => "write a number from 0 to 100, without a sign",
        "oom_score_adj" => "write a whole number from -1000 to 1000",
        "restart" => {
            "write no, always, unless-stopped or on-failure, the last perhaps with a number: on-failure:3"
        }
        "pull_policy" => "write missing to fetch what is not there, always to ask each time",
        "cron" => "write five fields, as in \"0 3 * * *\" for three o'clock every night",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_says_how_its_value_is_written() {
        assert!(of("services.web.mem_limit").is_some_and(|hint| hint.contains("512m")));
        assert!(of("jobs.a.triggers.schedule[0].cron").is_some());
        assert!(of("services.web.deploy.resources.limits.cpus").is_some());
        assert_eq!(of("services.restart.image"), None);
        assert_eq!(of(""), None);
    }
}
