//! `POST /containers/{id}/wait`: the answer's head comes at once, its body when it is over.
//!
//! By the events, which tell how a run ended also of a container that is removed with it.

use crate::server::Server;
use crate::server::error::ApiError;
use crate::server::reply::Reply;
use crate::server::request::Asked;
use crate::server::route::Answer;
use engine::Context;
use engine::container::record::ContainerRecord;
use engine::container::state::State;
use engine::events::Reader;
use serde_json::json;
use std::time::Duration;

/// Backstop for what no event tells.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    NotRunning,
    NextExit,
    Removed,
}

pub(super) fn wait(server: &Server, asked: &Asked, record: ContainerRecord) -> Answer {
    let condition = match asked.query.get("condition") {
        None | Some("not-running") => Condition::NotRunning,
        Some("next-exit") => Condition::NextExit,
        Some("removed") => Condition::Removed,
        Some(other) => return Err(ApiError::bad(format!("invalid condition: {other:?}"))),
    };
    let ctx = server.ctx.clone();
    // From here on nothing is missed.
    let mut waiting = Waiting {
        events: Reader::from_now(&ctx)?,
        before: State::load(&ctx, record.id.as_str())?,
        code: 0,
        record,
        condition,
        ctx,
    };
    if let State::Exited(last) = &waiting.before {
        waiting.code = last.exit_code;
    }
    Ok(Reply::stream("application/json", move |out| {
        loop {
            match waiting.is_over() {
                Ok(true) => return out.document(&json!({ "StatusCode": waiting.code })),
                Ok(false) if out.is_closed() => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    let message = engine::error::chain(&error);
                    return out
                        .document(&json!({ "StatusCode": -1, "Error": { "Message": message } }));
                }
            }
        }
    }))
}

struct Waiting {
    ctx: Context,
    record: ContainerRecord,
    condition: Condition,
    before: State,
    events: Reader,
    /// How it ended last.
    code: u8,
}

impl Waiting {
    /// Looks, and waits a little when it is not over.
    fn is_over(&mut self) -> engine::Result<bool> {
        if self.condition == Condition::NotRunning && !self.before.is_active() {
            return Ok(true);
        }
        let id = self.record.id.to_string();
        while let Some(event) = self.events.next_ready()? {
            if event.kind != "container" || event.actor.id != id {
                continue;
            }
            match event.action.as_str() {
                "die" => {
                    let code = event.actor.attributes.get("exitCode");
                    self.code = code.and_then(|c| c.parse().ok()).unwrap_or(0);
                    if self.condition != Condition::Removed {
                        return Ok(true);
                    }
                }
                "destroy" => return Ok(true),
                _ => {}
            }
        }
        if ContainerRecord::load(&self.ctx, &id)?.is_none() {
            return Ok(true);
        }
        if self.condition == Condition::NotRunning
            && let State::Exited(last) = State::load(&self.ctx, &id)?
        {
            self.code = last.exit_code;
            return Ok(true);
        }
        self.events.wait(Some(LOOK_AGAIN))?;
        Ok(false)
    }
}
