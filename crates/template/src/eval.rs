//! Walks the tree over the data.

use super::lex::line_of;
use super::parse::{Node, Operand as Syntax, OperandKind, Pipe};
use super::value::{Operand, sorted, truth};
use super::{Methods, TemplateError, func};
use serde_json::Value;

struct Machine<'a> {
    source: &'a str,
    root: &'a Value,
    methods: Option<Methods<'a>>,
    variables: Vec<(String, Operand)>,
    out: String,
}

/// Why the walk left a list of nodes.
enum Flow {
    On,
    Break,
    Continue,
}

pub(super) fn run(
    source: &str,
    nodes: &[Node],
    data: &Value,
    methods: Option<Methods<'_>>,
) -> Result<String, TemplateError> {
    let root = Operand::from(data.clone());
    let mut machine = Machine {
        source,
        root: data,
        methods,
        variables: vec![("$".into(), root.clone())],
        out: String::new(),
    };
    machine.walk(nodes, &root)?;
    Ok(machine.out)
}

/// Pointers in Docker's structs that its JSON leaves out when they are nil; a template sees nil.
const NIL_WHEN_ABSENT: [&str; 6] = [
    "Health",
    "Healthcheck",
    "IPAMConfig",
    "Labels",
    "Options",
    "UsageData",
];

impl Machine<'_> {
    fn fail<T>(&self, at: &Syntax, what: impl std::fmt::Display) -> Result<T, TemplateError> {
        let line = line_of(self.source, at.pos);
        let line_start = self.source[..at.pos].rfind('\n').map_or(0, |i| i + 1);
        let column = at.pos - line_start;
        Err(TemplateError(format!(
            "template: :{line}:{column}: executing \"\" at <{}>: {what}",
            describe(at)
        )))
    }

    fn walk(&mut self, nodes: &[Node], dot: &Operand) -> Result<Flow, TemplateError> {
        for node in nodes {
            match self.step(node, dot)? {
                Flow::On => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::On)
    }

    fn step(&mut self, node: &Node, dot: &Operand) -> Result<Flow, TemplateError> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.names.is_empty() {
                    self.out.push_str(&value.print());
                }
            }
            Node::If {
                pipe,
                then,
                otherwise,
            } => {
                let known = self.variables.len();
                let chosen = if truth(&self.pipe(pipe, dot)?.value) {
                    then
                } else {
                    otherwise
                };
                let flow = self.walk(chosen, dot)?;
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::With {
                pipe,
                then,
                otherwise,
            } => {
                let known = self.variables.len();
                let value = self.pipe(pipe, dot)?;
                let flow = match truth(&value.value) {
                    true => self.walk(then, &value)?,
                    false => self.walk(otherwise, dot)?,
                };
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::Range {
                pipe,
                body,
                otherwise,
            } => return self.range(pipe, body, otherwise, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn range(
        &mut self,
        pipe: &Pipe,
        body: &[Node],
        otherwise: &[Node],
        dot: &Operand,
    ) -> Result<Flow, TemplateError> {
        let known = self.variables.len();
        let over = self.commands(pipe, dot)?;
        let pairs: Vec<(Value, Value)> = match &over.value {
            Value::Null => Vec::new(),
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(i, v)| (Value::from(i), v.clone()))
                .collect(),
            Value::Object(map) => sorted(map)
                .into_iter()
                .map(|(k, v)| (k.clone().into(), v.clone()))
                .collect(),
            Value::Number(number) if number.as_i64().is_some_and(|n| n <= 1 << 20) => {
                (0..number.as_i64().unwrap_or(0))
                    .map(|i| (i.into(), i.into()))
                    .collect()
            }
            other => {
                let at = &pipe.commands[0][0];
                let shown = super::value::print(other);
                return self.fail(at, format_args!("range can't iterate over {shown}"));
            }
        };
        if pairs.is_empty() {
            return self.walk(otherwise, dot);
        }
        for (key, value) in pairs {
            let value = Operand::from(value);
            let bound: Vec<(&String, Operand)> = match pipe.names.as_slice() {
                [] => Vec::new(),
                [one] => vec![(one, value.clone())],
                [first, second, ..] => vec![(first, key.into()), (second, value.clone())],
            };
            for (name, value) in bound {
                self.bind(pipe.assigns, name, value);
            }
            let flow = self.walk(body, &value)?;
            self.variables.truncate(known);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn bind(&mut self, assigns: bool, name: &str, value: Operand) {
        match self
            .variables
            .iter_mut()
            .rev()
            .find(|(known, _)| known == name)
        {
            Some(slot) if assigns => slot.1 = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Operand) -> Result<Operand, TemplateError> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.names {
            self.bind(pipe.assigns, name, value.clone());
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &Pipe, dot: &Operand) -> Result<Operand, TemplateError> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or_else(|| Value::Null.into()))
    }

    fn command(
        &mut self,
        command: &[Syntax],
        dot: &Operand,
        last: Option<Operand>,
    ) -> Result<Operand, TemplateError> {
        let (first, rest) = command
            .split_first()
            .expect("the parser makes no empty command");
        if let OperandKind::Function(name) = &first.kind {
            return self.call(name, first, rest, dot, last);
        }
        if rest.is_empty() && last.is_none() {
            return self.operand(first, dot);
        }
        let mut args = Vec::new();
        for arg in rest {
            args.push(self.operand(arg, dot)?.value);
        }
        args.extend(last.map(|operand| operand.value));
        if let (OperandKind::Dot | OperandKind::Variable(_), [name]) =
            (&first.kind, first.fields.as_slice())
            && dot.value == *self.root
            && let Some(value) = self.methods.and_then(|methods| methods(name, &args))
        {
            return Ok(value.into());
        }
        match first.fields.last() {
            Some(name) => self.fail(
                first,
                format_args!("{name} has arguments but cannot be invoked as function"),
            ),
            None => self.fail(
                first,
                format_args!("can't give argument to non-function {}", describe(first)),
            ),
        }
    }

    fn call(
        &mut self,
        name: &str,
        first: &Syntax,
        rest: &[Syntax],
        dot: &Operand,
        last: Option<Operand>,
    ) -> Result<Operand, TemplateError> {
        let mut args: Vec<Operand> = Vec::with_capacity(rest.len() + 1);
        for arg in rest {
            let value = self.operand(arg, dot)?;
            // `and` and `or` stop at the value that decides.
            let decided = match name {
                "and" => !truth(&value.value),
                "or" => truth(&value.value),
                _ => false,
            };
            if decided {
                return Ok(value);
            }
            args.push(value);
        }
        args.extend(last);
        if matches!(name, "and" | "or") {
            return match args.pop() {
                Some(value) => Ok(value),
                None => self.fail(
                    first,
                    format_args!("wrong number of args for {name}: want at least 1 got 0"),
                ),
            };
        }
        if !func::exists(name) {
            let values: Vec<Value> = args.into_iter().map(|arg| arg.value).collect();
            return match self.methods.and_then(|methods| methods(name, &values)) {
                Some(value) => Ok(value.into()),
                None => self.fail(
                    first,
                    format_args!("error calling {name}: there is none of this name"),
                ),
            };
        }
        match func::call(name, &args) {
            Ok(value) => Ok(value.into()),
            Err(func::CallError::Arity(what)) => self.fail(first, what),
            Err(func::CallError::Failed(what)) => {
                self.fail(first, format_args!("error calling {name}: {what}"))
            }
        }
    }

    fn operand(&mut self, operand: &Syntax, dot: &Operand) -> Result<Operand, TemplateError> {
        let mut value = match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => Value::Null.into(),
            OperandKind::Bool(flag) => Value::from(*flag).into(),
            OperandKind::Int(number) => Value::from(*number).into(),
            OperandKind::Float(number) => Value::from(*number).into(),
            OperandKind::Str(text) => Value::from(text.as_str()).into(),
            OperandKind::Variable(name) => self
                .variables
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map_or_else(|| Value::Null.into(), |(_, value)| value.clone()),
            OperandKind::Function(name) => self.call(name, operand, &[], dot, None)?,
            OperandKind::Parenthesis(pipe) => self.pipe(pipe, dot)?,
        };
        for name in &operand.fields {
            value = self.field(operand, &value, name)?;
        }
        Ok(value)
    }

    fn field(&self, at: &Syntax, value: &Operand, name: &str) -> Result<Operand, TemplateError> {
        if let Some(found) = value.get(name) {
            return Ok(found);
        }
        match &value.value {
            Value::Object(_) if NIL_WHEN_ABSENT.contains(&name) => Ok(Value::Null.into()),
            Value::Object(_) => self.fail(at, format_args!("map has no entry for key {name:?}")),
            Value::Null => self.fail(at, format_args!("nil data; no entry for key {name:?}")),
            other => {
                let kind = match other {
                    Value::String(_) => "string",
                    Value::Number(_) => "int",
                    Value::Bool(_) => "bool",
                    _ => "[]interface {}",
                };
                self.fail(
                    at,
                    format_args!("can't evaluate field {name} in type {kind}"),
                )
            }
        }
    }
}

fn describe(operand: &Syntax) -> String {
    let head = match &operand.kind {
        OperandKind::Dot if operand.fields.is_empty() => ".".into(),
        OperandKind::Dot => String::new(),
        OperandKind::Nil => "nil".into(),
        OperandKind::Bool(flag) => flag.to_string(),
        OperandKind::Int(number) => number.to_string(),
        OperandKind::Float(number) => number.to_string(),
        OperandKind::Str(text) => format!("{text:?}"),
        OperandKind::Variable(name) => name.clone(),
        OperandKind::Function(name) => name.clone(),
        OperandKind::Parenthesis(_) => "(...)".into(),
    };
    operand
        .fields
        .iter()
        .fold(head, |text, field| format!("{text}.{field}"))
}
