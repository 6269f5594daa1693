//! Items to a tree of nodes.

use super::TemplateError;
use super::lex::{Item, Kind, syntax};

/// How deep `{{if}}` blocks and parentheses may nest: more is an attack on the stack, not a format.
const DEEPEST: usize = 64;

#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If {
        pipe: Pipe,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    With {
        pipe: Pipe,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        pipe: Pipe,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Break,
    Continue,
}

/// `$a, $b := cmd | cmd`.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) names: Vec<String>,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) pos: usize,
    pub(super) kind: OperandKind,
    /// `.a.b` after it.
    pub(super) fields: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Variable(String),
    Function(String),
    Parenthesis(Box<Pipe>),
}

struct Parser<'a> {
    source: &'a str,
    /// Known besides those that every template has.
    functions: &'a [&'a str],
    items: std::iter::Peekable<std::vec::IntoIter<Item>>,
    variables: Vec<String>,
    depth: usize,
    loops: usize,
}

pub(super) fn parse(
    source: &str,
    items: Vec<Item>,
    functions: &[&str],
) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser {
        source,
        functions,
        items: items.into_iter().peekable(),
        variables: vec!["$".into()],
        depth: 0,
        loops: 0,
    };
    let (nodes, end) = parser.block()?;
    match end {
        Closed::Eof => Ok(nodes),
        Closed::Else(pos) | Closed::ElseIf(pos) | Closed::ElseWith(pos) => {
            Err(syntax(source, pos, "unexpected {{else}}"))
        }
        Closed::End(pos) => Err(syntax(source, pos, "unexpected {{end}}")),
    }
}

/// What closed a block.
enum Closed {
    Eof,
    End(usize),
    Else(usize),
    ElseIf(usize),
    ElseWith(usize),
}

enum Branch {
    If,
    With,
    Range,
}

impl Parser<'_> {
    fn fail<T>(&self, pos: usize, what: impl std::fmt::Display) -> Result<T, TemplateError> {
        Err(syntax(self.source, pos, what))
    }

    fn position(&mut self) -> usize {
        self.items.peek().map_or(self.source.len(), |item| item.pos)
    }

    fn skip_space(&mut self) {
        while self
            .items
            .next_if(|item| item.kind == Kind::Space)
            .is_some()
        {}
    }

    fn peek(&mut self) -> Option<&Kind> {
        self.items.peek().map(|item| &item.kind)
    }

    /// Nodes up to `{{end}}`, `{{else …}}` or the end of the text.
    fn block(&mut self) -> Result<(Vec<Node>, Closed), TemplateError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let pos = self.position();
            return self.fail(pos, "nested too deeply");
        }
        let mut nodes = Vec::new();
        let end = loop {
            let Some(item) = self.items.next() else {
                break Closed::Eof;
            };
            if let Kind::Text(text) = item.kind {
                nodes.push(Node::Text(text));
                continue;
            }
            self.skip_space();
            let pos = self.position();
            let keyword = match self.peek() {
                Some(Kind::Word(word)) => word.clone(),
                _ => String::new(),
            };
            if !matches!(
                keyword.as_str(),
                "if" | "with"
                    | "range"
                    | "else"
                    | "end"
                    | "break"
                    | "continue"
                    | "define"
                    | "template"
                    | "block"
            ) {
                nodes.push(Node::Action(self.pipeline(pos, "command")?));
                self.close(pos)?;
                continue;
            }
            self.items.next();
            self.skip_space();
            match keyword.as_str() {
                "if" => nodes.push(self.branch(&Branch::If, pos)?),
                "with" => nodes.push(self.branch(&Branch::With, pos)?),
                "range" => nodes.push(self.branch(&Branch::Range, pos)?),
                "end" => {
                    self.close(pos)?;
                    break Closed::End(pos);
                }
                "else" => break self.otherwise(pos)?,
                "break" | "continue" if self.loops == 0 => {
                    return self.fail(pos, format_args!("{{{{{keyword}}}}} outside {{{{range}}}}"));
                }
                "break" | "continue" => {
                    self.close(pos)?;
                    nodes.push(if keyword == "break" {
                        Node::Break
                    } else {
                        Node::Continue
                    });
                }
                other => {
                    return self.fail(
                        pos,
                        format_args!("{{{{{other}}}}} is not supported in --format"),
                    );
                }
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn otherwise(&mut self, pos: usize) -> Result<Closed, TemplateError> {
        let next = match self.peek() {
            Some(Kind::Word(word)) => word.clone(),
            _ => String::new(),
        };
        match next.as_str() {
            "if" | "with" => {
                self.items.next();
                self.skip_space();
                Ok(if next == "if" {
                    Closed::ElseIf(pos)
                } else {
                    Closed::ElseWith(pos)
                })
            }
            _ => {
                self.close(pos)?;
                Ok(Closed::Else(pos))
            }
        }
    }

    fn close(&mut self, pos: usize) -> Result<(), TemplateError> {
        self.skip_space();
        match self.items.next() {
            Some(Item {
                kind: Kind::Close, ..
            }) => Ok(()),
            Some(item) => {
                let text = describe(&item.kind);
                self.fail(item.pos, format_args!("unexpected {text} in command"))
            }
            None => self.fail(pos, "unclosed action"),
        }
    }

    fn branch(&mut self, kind: &Branch, pos: usize) -> Result<Node, TemplateError> {
        let known = self.variables.len();
        let context = match kind {
            Branch::If => "if",
            Branch::With => "with",
            Branch::Range => "range",
        };
        let pipe = self.pipeline(pos, context)?;
        self.close(pos)?;
        let in_range = matches!(kind, Branch::Range);
        self.loops += usize::from(in_range);
        let (then, end) = self.block()?;
        self.loops -= usize::from(in_range);
        let otherwise = match end {
            Closed::End(_) => Vec::new(),
            Closed::Else(pos) => match self.block()? {
                (nodes, Closed::End(_)) => nodes,
                (_, Closed::Eof) => return self.fail(self.source.len(), "unexpected EOF"),
                _ => return self.fail(pos, "expected end; found {{else}}"),
            },
            Closed::ElseIf(pos) => self.chained(&Branch::If, pos)?,
            Closed::ElseWith(pos) => self.chained(&Branch::With, pos)?,
            Closed::Eof => return self.fail(self.source.len(), "unexpected EOF"),
        };
        self.variables.truncate(known);
        Ok(match kind {
            Branch::If => Node::If {
                pipe,
                then,
                otherwise,
            },
            Branch::With => Node::With {
                pipe,
                then,
                otherwise,
            },
            Branch::Range => Node::Range {
                pipe,
                body: then,
                otherwise,
            },
        })
    }

    /// `{{else if}}`: a branch inside the else, closed by the same `{{end}}`.
    fn chained(&mut self, kind: &Branch, pos: usize) -> Result<Vec<Node>, TemplateError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.fail(pos, "nested too deeply");
        }
        let node = self.branch(kind, pos)?;
        self.depth -= 1;
        Ok(vec![node])
    }

    fn pipeline(&mut self, pos: usize, context: &str) -> Result<Pipe, TemplateError> {
        let mut pipe = Pipe {
            names: Vec::new(),
            assigns: false,
            commands: Vec::new(),
        };
        self.declarations(&mut pipe, context)?;
        loop {
            let command = self.command()?;
            if command.is_empty() {
                return match self.peek() {
                    _ if !pipe.commands.is_empty() => {
                        self.fail(pos, format_args!("missing command after | in {context}"))
                    }
                    Some(Kind::Close | Kind::RightParen) => {
                        self.fail(pos, format_args!("missing value for {context}"))
                    }
                    _ => {
                        let found = self
                            .items
                            .next()
                            .map_or("EOF".to_owned(), |item| describe(&item.kind));
                        self.fail(pos, format_args!("unexpected {found} in {context}"))
                    }
                };
            }
            pipe.commands.push(command);
            if self.items.next_if(|item| item.kind == Kind::Pipe).is_none() {
                return Ok(pipe);
            }
        }
    }

    /// `$x :=`, `$x =`, `$i, $x :=` at the head of a pipeline. A `$x` that is none of these goes back as an operand.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), TemplateError> {
        let mut ahead = self.items.clone();
        let mut names = Vec::new();
        let (assigns, pos) = loop {
            let Some(Item {
                kind: Kind::Variable(name),
                pos,
            }) = ahead.next()
            else {
                return Ok(());
            };
            names.push(name);
            while ahead.next_if(|item| item.kind == Kind::Space).is_some() {}
            match ahead.next().map(|item| item.kind) {
                Some(Kind::Declare) => break (false, pos),
                Some(Kind::Assign) => break (true, pos),
                Some(Kind::Comma) if context == "range" && names.len() < 2 => {}
                Some(Kind::Comma) => {
                    return self.fail(pos, format_args!("too many declarations in {context}"));
                }
                _ => return Ok(()),
            }
            while ahead.next_if(|item| item.kind == Kind::Space).is_some() {}
        };
        self.items = ahead;
        self.skip_space();
        if assigns {
            if let Some(name) = names.iter().find(|name| !self.variables.contains(name)) {
                return self.fail(pos, format_args!("undefined variable {name:?}"));
            }
        } else {
            self.variables.extend(names.iter().cloned());
        }
        pipe.names = names;
        pipe.assigns = assigns;
        Ok(())
    }

    /// Operands up to `|`, `)` or `}}`.
    fn command(&mut self) -> Result<Vec<Operand>, TemplateError> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            match self.operand()? {
                Some(operand) => operands.push(operand),
                None => return Ok(operands),
            }
        }
    }

    fn operand(&mut self) -> Result<Option<Operand>, TemplateError> {
        let pos = self.position();
        let Some(item) = self
            .items
            .next_if(|item| !matches!(item.kind, Kind::Pipe | Kind::RightParen | Kind::Close))
        else {
            return Ok(None);
        };
        let mut fields = Vec::new();
        let kind = match item.kind {
            Kind::Dot => OperandKind::Dot,
            Kind::Field(name) => {
                fields.push(name);
                OperandKind::Dot
            }
            Kind::Variable(name) if self.variables.contains(&name) => OperandKind::Variable(name),
            Kind::Variable(name) => {
                return self.fail(pos, format_args!("undefined variable {name:?}"));
            }
            Kind::Str(text) => OperandKind::Str(text),
            Kind::Int(number) => OperandKind::Int(number),
            Kind::Float(number) => OperandKind::Float(number),
            Kind::LeftParen => self.parenthesis(pos)?,
            Kind::Word(word) => match word.as_str() {
                "true" => OperandKind::Bool(true),
                "false" => OperandKind::Bool(false),
                "nil" => OperandKind::Nil,
                name if super::func::exists(name) || self.functions.contains(&name) => {
                    OperandKind::Function(word)
                }
                _ => return self.fail(pos, format_args!("function {word:?} not defined")),
            },
            other => {
                let found = describe(&other);
                return self.fail(pos, format_args!("unexpected {found} in operand"));
            }
        };
        // Go names the position of the second field of a chain; errors quote it.
        let mut at = pos;
        let plain = matches!(
            kind,
            OperandKind::Dot | OperandKind::Variable(_) | OperandKind::Parenthesis(_)
        );
        while let Some(Item {
            kind: Kind::Field(name),
            pos,
        }) = self
            .items
            .next_if(|item| matches!(item.kind, Kind::Field(_)))
        {
            if !plain {
                return self.fail(pos, format_args!("unexpected <.{name}> in operand"));
            }
            if at == item.pos {
                at = pos;
            }
            fields.push(name);
        }
        Ok(Some(Operand {
            pos: at,
            kind,
            fields,
        }))
    }

    fn parenthesis(&mut self, pos: usize) -> Result<OperandKind, TemplateError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.fail(pos, "nested too deeply");
        }
        self.skip_space();
        let pipe = self.pipeline(pos, "parenthesized pipeline")?;
        self.skip_space();
        if self
            .items
            .next_if(|item| item.kind == Kind::RightParen)
            .is_none()
        {
            return self.fail(pos, "unclosed left paren");
        }
        self.depth -= 1;
        Ok(OperandKind::Parenthesis(Box::new(pipe)))
    }
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Text(_) => "text".into(),
        Kind::Open => "\"{{\"".into(),
        Kind::Close => "\"}}\"".into(),
        Kind::Field(name) => format!("<.{name}>"),
        Kind::Dot => "<.>".into(),
        Kind::Variable(name) => format!("{name:?}"),
        Kind::Word(word) => format!("<{word}>"),
        Kind::Str(text) => format!("{text:?}"),
        Kind::Int(number) => format!("{:?}", number.to_string()),
        Kind::Float(number) => format!("{:?}", number.to_string()),
        Kind::Pipe => "\"|\"".into(),
        Kind::LeftParen => "\"(\"".into(),
        Kind::RightParen => "\")\"".into(),
        Kind::Declare => "\":=\"".into(),
        Kind::Assign => "\"=\"".into(),
        Kind::Comma => "\",\"".into(),
        Kind::Space => "\" \"".into(),
    }
}
