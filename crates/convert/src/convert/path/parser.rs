//! Tokens as a tree.
//!
//! Ceilometer's grammar is ambiguous and resolved by its parser generator; what comes of that is written out here as
//! binding strengths: `where` 8, `&` 7, `|` 6, `.` 5, `..` 4, all to the left. Brackets and arithmetic bind looser than
//! all of them; arithmetic goes to the right, without precedence among its operators.

use super::PathError;
use super::lexer::{Placed, Token};
use super::named::named_operator;
use super::tree::{Condition, Name, Operand, Relation, Test, Tree};
use crate::model::python::{Comparison, Operator, Pattern, Raised};
use crate::model::{Text, Value};

/// The deepest tree; evaluation recurses as deep.
const DEPTH_MAX: usize = 200;

/// Reads a whole path.
pub(super) fn parse(text: &str, tokens: Vec<Placed>) -> Result<Tree, PathError> {
    let mut parser = Parser { text, tokens, next: 0, depth: 0 };
    let tree = parser.path(0)?;
    match parser.peek() {
        None => Ok(tree),
        Some(_) => Err(parser.unexpected()),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
}

/// What a parenthesis in a filter turned out to hold.
enum Held {
    Path(Tree),
    Conditions(Vec<Condition>),
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).map(|(token, _)| token.clone());
        self.next += 1;
        token
    }

    fn take_sign(&mut self, sign: char) -> bool {
        let there = self.peek() == Some(&Token::Sign(sign));
        self.next += usize::from(there);
        there
    }

    fn expect(&mut self, sign: char) -> Result<(), PathError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn trouble(&self, why: String) -> PathError {
        let at = self.tokens.get(self.next).map_or(self.text.len(), |(_, at)| *at);
        PathError { path: self.text.into(), at, why }
    }

    fn unexpected(&self) -> PathError {
        let end = self.tokens.get(self.next + 1).map_or(self.text.len(), |(_, at)| *at);
        match self.tokens.get(self.next) {
            Some((_, at)) => self.trouble(format!("unexpected '{}'", self.text[*at..end].trim_end())),
            None => self.trouble("something is missing at the end".to_owned()),
        }
    }

    fn descend(&mut self) -> Result<(), PathError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.trouble(format!("nested deeper than {DEPTH_MAX}")));
        }
        Ok(())
    }

    /// A path whose operators bind tighter than `strength`; 0 reads everything.
    fn path(&mut self, strength: u8) -> Result<Tree, PathError> {
        let depth = self.depth;
        self.descend()?;
        let first = self.primary()?;
        let tree = self.continued(first, strength)?;
        self.depth = depth;
        Ok(tree)
    }

    /// What follows a path that is already read.
    fn continued(&mut self, mut left: Tree, strength: u8) -> Result<Tree, PathError> {
        let depth = self.depth;
        loop {
            let binding = match self.peek() {
                Some(Token::Where) => 8,
                Some(Token::Sign('&')) => 7,
                Some(Token::Sign('|')) => 6,
                Some(Token::Sign('.')) => 5,
                Some(Token::DoubleDot) => 4,
                Some(Token::Sign('[' | '+' | '-' | '*')) if strength == 0 => 0,
                _ => break,
            };
            if strength > 0 && binding <= strength {
                break;
            }
            // A chain to the left is as deep a tree as one to the right.
            self.descend()?;
            let token = self.take();
            left = match token {
                Some(Token::Sign('[')) => Tree::Child(Box::new(left), Box::new(self.bracket(true)?)),
                Some(Token::Sign(sign @ ('+' | '-' | '*'))) => self.arithmetic(operand(left), operator(sign))?,
                token => {
                    let right = Box::new(self.path(binding)?);
                    let left = Box::new(left);
                    match token {
                        Some(Token::Where) => Tree::Where(left, right),
                        Some(Token::Sign('&')) => Tree::Intersect,
                        Some(Token::Sign('|')) => Tree::Union(left, right),
                        Some(Token::Sign('.')) => Tree::Child(left, right),
                        _ => Tree::Descendants(left, right),
                    }
                }
            };
        }
        self.depth = depth;
        Ok(left)
    }

    /// After `left +`. A number ends the operation, so that `a + 1 . b` is `(a + 1).b`, unless an operator follows it.
    fn arithmetic(&mut self, left: Operand, operator: Operator) -> Result<Tree, PathError> {
        let right = match self.number_not_operated_on() {
            Some(number) => Operand::Literal(number),
            None => operand(self.path(0)?),
        };
        Ok(Tree::Arithmetic(left, operator, right))
    }

    fn number_not_operated_on(&mut self) -> Option<Value> {
        let number = match self.peek()? {
            Token::Number(number) => number.clone(),
            Token::Float(float) => Value::Float(*float),
            _ => return None,
        };
        if matches!(self.tokens.get(self.next + 1), Some((Token::Sign('+' | '-' | '*'), _))) {
            return None;
        }
        self.next += 1;
        Some(number)
    }

    fn primary(&mut self) -> Result<Tree, PathError> {
        let unexpected = self.unexpected();
        match self.take() {
            Some(Token::Sign('$')) => Ok(Tree::Root),
            Some(Token::Sign('@')) => Ok(Tree::This),
            Some(Token::Sign('*')) => Ok(Tree::Every),
            Some(Token::Sign('[')) => self.bracket(false),
            Some(Token::Sign('(')) => {
                let inner = self.path(0)?;
                self.expect(')')?;
                Ok(inner)
            }
            Some(Token::Id(name)) => self.members(name),
            Some(Token::Named(text)) => named_operator(&text).map_err(|why| PathError { why, ..unexpected }),
            Some(Token::Number(number)) => self.number_first(number),
            Some(Token::Float(float)) => self.number_first(Value::Float(float)),
            _ => Err(unexpected),
        }
    }

    /// A path may begin with a number only as the left side of an operation; two literals must be of one kind.
    fn number_first(&mut self, left: Value) -> Result<Tree, PathError> {
        let Some(Token::Sign(sign @ ('+' | '-' | '*'))) = self.peek() else { return Err(self.unexpected()) };
        let operator = operator(*sign);
        self.next += 1;
        if let (Value::Float(_), Some(Token::Number(_))) | (Value::Int(_) | Value::Big(_), Some(Token::Float(_))) =
            (&left, self.peek())
            && !matches!(self.tokens.get(self.next + 1), Some((Token::Sign('+' | '-' | '*'), _)))
        {
            return Err(self.trouble("an integer and a number with a point cannot be joined".to_owned()));
        }
        self.arithmetic(Operand::Literal(left), operator)
    }

    /// `a,b,c`, the first being read.
    fn members(&mut self, first: Box<str>) -> Result<Tree, PathError> {
        let mut names = vec![first];
        while self.take_sign(',') {
            match self.peek() {
                Some(Token::Id(name)) => names.push(name.clone()),
                _ => return Err(self.unexpected()),
            }
            self.next += 1;
        }
        // A quoted star is a star, and then other names do not matter, but that it is no single name.
        match names.iter().any(|name| &**name == "*") {
            true if names.len() == 1 => Ok(Tree::Every),
            true => Ok(Tree::Child(Box::new(Tree::This), Box::new(Tree::Every))),
            false => Ok(Tree::Members(names.into_iter().map(|text| Name { text, today: None }).collect())),
        }
    }

    /// After `[`. Filters and sorting need something before the bracket.
    fn bracket(&mut self, after_path: bool) -> Result<Tree, PathError> {
        let tree = match self.peek() {
            Some(Token::Id(name)) => {
                let name = name.clone();
                self.next += 1;
                self.members(name)?
            }
            Some(Token::Sign('*')) => {
                self.next += 1;
                Tree::Slice(None, None)
            }
            Some(Token::Sign('?')) if after_path => {
                self.next += 1;
                Tree::Filter(self.conditions()?.into())
            }
            Some(Token::Sort(_)) if after_path => {
                let mut keys = Vec::new();
                while let Some(Token::Sort(descending)) = self.peek() {
                    let descending = *descending;
                    self.next += 1;
                    keys.push((self.path(0)?, descending));
                }
                Tree::Sorted(keys.into())
            }
            _ => {
                let start = self.slice_bound();
                if self.take_sign(':') {
                    Tree::Slice(start, self.slice_bound())
                } else {
                    Tree::Index(start.ok_or_else(|| self.unexpected())?)
                }
            }
        };
        self.expect(']')?;
        Ok(tree)
    }

    fn slice_bound(&mut self) -> Option<i64> {
        let bound = match self.peek()? {
            Token::Number(Value::Int(i)) => *i,
            Token::Number(Value::Big(b)) if b.sign() == num_bigint::Sign::Minus => i64::MIN,
            Token::Number(_) => i64::MAX,
            _ => return None,
        };
        self.next += 1;
        Some(bound)
    }

    /// After `[?`.
    fn conditions(&mut self) -> Result<Vec<Condition>, PathError> {
        match self.held()? {
            Held::Path(target) => Ok(vec![Condition { target, test: None }]),
            Held::Conditions(conditions) => Ok(conditions),
        }
    }

    /// Conditions, or a path alone: only what follows the parenthesis around it tells which. A path takes every `&`
    /// that follows it for itself.
    fn held(&mut self) -> Result<Held, PathError> {
        let depth = self.depth;
        self.descend()?;
        let parenthesised = if self.take_sign('(') {
            let held = self.held()?;
            self.expect(')')?;
            Some(held)
        } else {
            None
        };
        let mut conditions = match parenthesised {
            Some(Held::Conditions(conditions)) => conditions,
            Some(Held::Path(first)) => match self.condition_or_path(first)? {
                Ok(condition) => vec![condition],
                Err(path) => return Ok(self.lone(path, depth)),
            },
            None => {
                let first = self.primary()?;
                match self.condition_or_path(first)? {
                    Ok(condition) => vec![condition],
                    Err(path) => return Ok(self.lone(path, depth)),
                }
            }
        };
        while self.take_sign('&') {
            conditions.extend(self.conditions()?);
        }
        self.depth = depth;
        Ok(Held::Conditions(conditions))
    }

    fn lone(&mut self, path: Tree, depth: usize) -> Held {
        self.depth = depth;
        Held::Path(path)
    }

    /// What begins with a path: a condition if a test follows, else the path.
    fn condition_or_path(&mut self, first: Tree) -> Result<Result<Condition, Tree>, PathError> {
        let target = self.continued(first, 0)?;
        let Some(Token::Test(sign)) = self.peek() else { return Ok(Err(target)) };
        let sign = *sign;
        self.next += 1;
        let (coerced, literal) = match self.peek() {
            Some(Token::Id(text)) => (false, Value::Str(Text::from(&**text))),
            Some(Token::Float(float)) => (false, Value::Float(*float)),
            Some(Token::Number(number)) => (true, number.clone()),
            Some(Token::Bool(value)) => (true, Value::Bool(*value)),
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        let relation = match sign {
            "=" | "==" => Relation::Equal,
            "!=" => Relation::Unequal,
            "<" => Relation::Ordered(Comparison::Less),
            "<=" => Relation::Ordered(Comparison::LessOrEqual),
            ">" => Relation::Ordered(Comparison::Greater),
            ">=" => Relation::Ordered(Comparison::GreaterOrEqual),
            _ => Relation::Matches(match &literal {
                Value::Str(text) => Pattern::new(text).map(Box::new),
                _ => Err(Raised::new("TypeError", "first argument must be string or compiled pattern")),
            }),
        };
        Ok(Ok(Condition { target, test: Some(Test { coerced, relation, literal }) }))
    }
}

/// A single name is text to an operator: fields can be spelt `$.name`.
fn operand(tree: Tree) -> Operand {
    match tree {
        Tree::Members(names) if names.len() == 1 => {
            Operand::Literal(Value::from(names.first().map_or("", |name| &*name.text)))
        }
        Tree::Every => Operand::Literal(Value::from("*")),
        tree => Operand::Path(Box::new(tree)),
    }
}

fn operator(sign: char) -> Operator {
    match sign {
        '+' => Operator::Add,
        '-' => Operator::Subtract,
        _ => Operator::Multiply,
    }
}
