//! The `STATUS` column, whose words are the API's.

pub(crate) use api::wire::status::text;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::sample;
    use engine::Timestamp;
    use engine::container::list::Listed;
    use engine::container::record::Lifecycle;
    use engine::container::state::State;

    #[test]
    fn an_exited_container_says_when_and_how() {
        let finished_at = Some(Timestamp(Timestamp::now().0 - 3 * 3_600_000_000_000));
        let last = Lifecycle {
            exit_code: 137,
            finished_at,
            ..Default::default()
        };
        let listed = Listed {
            record: sample("web"),
            state: State::Exited(last),
        };
        assert_eq!(text(&listed), "Exited (137) 3 hours ago");
        assert_eq!(
            text(&Listed {
                record: sample("web"),
                state: State::Created
            }),
            "Created"
        );
    }
}
