//! Go templates over JSON values: what `--format` takes, and contents of configs and secrets.
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

pub use value::json;

/// What went wrong with a template, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub(crate) String);

/// Methods of the top-level object that take arguments (`{{.Label "x"}}`), and functions of the caller's own.
pub type Methods<'a> = &'a dyn Fn(&str, &[Value]) -> Option<Value>;

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<parse::Node>,
    source: String,
}

impl Template {
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        Self::parse_with(source, &[])
    }

    /// The same where further functions are known, which [`Template::execute_with`] is then given.
    pub fn parse_with(source: &str, functions: &[&str]) -> Result<Self, TemplateError> {
        let items = lex::lex(source)?;
        let nodes = parse::parse(source, items, functions)?;
        Ok(Self {
            nodes,
            source: source.to_owned(),
        })
    }

    /// Runs the template over `data`.
    pub fn execute(&self, data: &Value) -> Result<String, TemplateError> {
        self.execute_with(data, None)
    }

    /// Like [`Template::execute`], with methods on the top-level object.
    pub fn execute_with(
        &self,
        data: &Value,
        methods: Option<Methods<'_>>,
    ) -> Result<String, TemplateError> {
        eval::run(&self.source, &self.nodes, data, methods)
    }

    /// Whether a field of this name is used anywhere (sizes are only computed when asked for).
    pub fn mentions(&self, field: &str) -> bool {
        self.source.contains(&format!(".{field}")) || self.source.contains("json .")
    }
}

#[cfg(test)]
mod tests;
