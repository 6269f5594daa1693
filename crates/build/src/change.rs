//! `commit --change` and `import --change`: instructions applied to a configuration without a build.
//!
//! Source: Docker CLI reference (`docker commit`), moby `builder/dockerfile/builder.go` (`BuildFromConfig`).

use crate::dockerfile::Mistake;
use crate::stage::StageState;
use oci::ImageConfig;

/// Why a change cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot apply --change {text:?}: {cause}")]
pub struct Error {
    pub text: String,
    pub cause: Mistake,
}

/// The configuration with every instruction applied, in order. The history stays as it was.
pub fn change(config: ImageConfig, changes: &[String]) -> Result<ImageConfig, Error> {
    let history = config.history.clone();
    let mut stage = StageState::on_image(config);
    for text in changes {
        stage.change(text).map_err(|cause| Error {
            text: text.clone(),
            cause,
        })?;
    }
    Ok(ImageConfig {
        history,
        ..stage.image
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<ImageConfig, String> {
        let mut config = ImageConfig::default();
        config.config.env = vec!["A=1".into()];
        config.config.working_dir = "/srv".into();
        let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
        change(config, &changes).map_err(|e| e.to_string())
    }

    #[test]
    fn the_configuration_is_changed_and_the_history_is_not() {
        let config = changed(&[
            "ENV B=$A C=\"two words\"",
            "CMD [\"serve\", \"-v\"]",
            "workdir app",
            "EXPOSE 80",
            "LABEL a=b",
            "USER nobody",
            "VOLUME /data",
        ])
        .unwrap();
        assert!(config.history.is_empty());
        let config = config.config;
        assert_eq!(config.env, ["A=1", "B=1", "C=two words"]);
        assert_eq!(config.cmd, Some(vec!["serve".into(), "-v".into()]));
        assert_eq!(
            (config.working_dir.as_str(), config.user.as_str()),
            ("/srv/app", "nobody")
        );
        assert!(
            config.exposed_ports.contains_key("80/tcp") && config.volumes.contains_key("/data")
        );
        assert_eq!(config.labels["a"], "b");
    }

    #[test]
    fn what_would_need_a_build_is_refused() {
        for (text, why) in [
            ("RUN true", "RUN is not a valid change command"),
            ("COPY a b", "COPY is not a valid change command"),
            ("FROBNICATE", "unknown instruction"),
            ("USER", "requires"),
            ("", "no instructions"),
        ] {
            let told = changed(&[text]).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
