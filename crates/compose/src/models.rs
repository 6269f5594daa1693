//! Models: there is no runner here, but a server may have them that speaks OpenAI's language. Where one is named, a service gets its
//! address and the model's name in variables, as Docker's runner gives them.
//!
//! | variable | without a name of its own (`model: ai-small`) | value |
//! |---|---|---|
//! | `endpoint_var` | `AI_SMALL_URL` | `x-dockless.endpoint` of the model, else `model-endpoint` of the engine's configuration |
//! | `model_var` | `AI_SMALL_MODEL` | `model` |
//!
//! Source: docker/compose `pkg/compose/model.go`.

use compose_file::Project;
use engine::config::Config;
use std::borrow::Cow;

/// The project with the variables of its models. What a model without a server asks for stays, to be refused.
pub(crate) fn resolve<'a>(config: &Config, project: Cow<'a, Project>) -> Cow<'a, Project> {
    if project.services.iter().all(|s| s.models.is_empty()) {
        return project;
    }
    let mut project = project.into_owned();
    let models = &project.models;
    for service in &mut project.services {
        let environment = &mut service.environment;
        service.models.retain(|key, used| {
            let Some(model) = models.get(key) else {
                return true;
            };
            let Some(endpoint) = model.endpoint.as_ref().or(config.model_endpoint.as_ref()) else {
                return true;
            };
            let prefix = key.to_uppercase().replace('-', "_");
            let name = |own: &Option<String>, ending| {
                own.clone().unwrap_or_else(|| format!("{prefix}_{ending}"))
            };
            let endpoint_var = name(&used.endpoint_var, "URL");
            environment.insert(endpoint_var, Some(endpoint.clone()));
            let model_var = name(&used.model_var, "MODEL");
            environment.insert(model_var, Some(model.model.clone()));
            false
        });
    }
    Cow::Owned(project)
}

#[cfg(test)]
mod tests {
    use super::*;
    use compose_file::Service;
    use compose_file::project::{AiModel, ModelUse};

    fn project(endpoint: Option<&str>, used: ModelUse) -> Project {
        let model = AiModel {
            model: "ai/small".into(),
            endpoint: endpoint.map(str::to_owned),
            ..AiModel::default()
        };
        Project {
            services: vec![Service {
                name: "app".into(),
                models: [("llm-one".to_owned(), used)].into(),
                ..Service::default()
            }],
            models: [("llm-one".to_owned(), model)].into(),
            ..Project::default()
        }
    }

    fn variables(config: &Config, project: &Project) -> Vec<String> {
        let resolved = resolve(config, Cow::Borrowed(project));
        crate::spec::environment(&resolved.services[0].environment)
    }

    #[test]
    fn variables_have_dockers_names_or_their_own() {
        let config = Config {
            model_endpoint: Some("http://10.0.0.1:8080/v1".into()),
            ..Config::default()
        };
        let plain = project(None, ModelUse::default());
        assert_eq!(
            variables(&config, &plain),
            [
                "LLM_ONE_MODEL=ai/small",
                "LLM_ONE_URL=http://10.0.0.1:8080/v1"
            ]
        );
        let own = ModelUse {
            endpoint_var: Some("WHERE".into()),
            model_var: Some("WHAT".into()),
        };
        let own = project(Some("https://models.example/v1"), own);
        assert_eq!(
            variables(&config, &own),
            ["WHAT=ai/small", "WHERE=https://models.example/v1"]
        );
    }

    #[test]
    fn a_model_without_a_server_stays() {
        let config = Config::default();
        let plain = project(None, ModelUse::default());
        assert!(variables(&config, &plain).is_empty());
        let resolved = resolve(&config, Cow::Borrowed(&plain));
        assert_eq!(resolved.services[0].models.len(), 1);
    }
}
