//! Go templates over JSON values: what `--format` takes.
//!
//! The subset that scripts use: text, actions, trim markers, pipelines, variables, `if`/`else if`/`else`,
//! `with`, `range` (with index and value variables, `else`, `break`, `continue`), comments, the comparison and logic
//! functions, `printf` and friends, and Docker's own functions (`json`, `join`, `upper`, …). Not here:
//! `define`, `template`, `block`. Error texts and positions are Go's, since scripts match on them.
//!
//! Source: Go `text/template` documentation, Docker CLI `templates/templates.go`.

mod eval;
mod func;
mod lex;
mod parse;
mod printf;
mod value;

use serde_json::Value;

pub(crate) use value::json;

/// What went wrong with a template, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TemplateError(pub(crate) String);

/// Methods of the top-level object that take arguments (`{{.Label "x"}}`).
pub(crate) type Methods<'a> = &'a dyn Fn(&str, &[Value]) -> Option<Value>;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<parse::Node>,
    source: String,
}

impl Template {
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateError> {
        let items = lex::lex(source)?;
        let nodes = parse::parse(source, items)?;
        Ok(Self {
            nodes,
            source: source.to_owned(),
        })
    }

    /// Runs the template over `data`.
    pub(crate) fn execute(&self, data: &Value) -> Result<String, TemplateError> {
        self.execute_with(data, None)
    }

    /// Like [`Template::execute`], with methods on the top-level object.
    pub(crate) fn execute_with(
        &self,
        data: &Value,
        methods: Option<Methods<'_>>,
    ) -> Result<String, TemplateError> {
        eval::run(&self.source, &self.nodes, data, methods)
    }

    /// Whether a field of this name is used anywhere (sizes are only computed when asked for).
    pub(crate) fn mentions(&self, field: &str) -> bool {
        self.source.contains(&format!(".{field}")) || self.source.contains("json .")
    }
}

#[cfg(test)]
mod tests;
