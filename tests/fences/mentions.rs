//! Every path that is written in an item: in `use`, in types, expressions and patterns, and, as far as they look like paths,
//! among the tokens of macros and attributes.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Macro, Meta};

use crate::sources::{flattened, is_export};

/// How a path is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// `use`, for the module itself.
    Import,
    /// `pub use`, or one that is public for a part of the crate: it makes a name known, and uses nothing.
    Export,
    /// Where it is needed.
    Inline,
}

/// A path in a source.
#[derive(Debug)]
pub(crate) struct Mention {
    /// Its segments; the first is empty if it begins with `::`.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) how: How,
    /// Whether it stands in what only tests compile.
    pub(crate) is_test: bool,
}

/// What an item says.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    pub(crate) mentions: Vec<Mention>,
    /// Names that a `use` brings in, also one inside a function, each with its path.
    pub(crate) imports: Vec<(String, Vec<String>)>,
    pub(crate) globs: Vec<Vec<String>>,
    is_test: bool,
}

/// What `item` says.
pub(crate) fn of_item(item: &Item, is_test: bool) -> Mentions {
    let mut found = Mentions {
        is_test,
        ..Mentions::default()
    };
    found.visit_item(item);
    found
}

/// Attributes whose words name nothing.
const SILENT: [&str; 6] = ["allow", "cfg", "cfg_attr", "doc", "error", "expect"];

impl Mentions {
    fn add(&mut self, path: Vec<String>, line: usize, how: How) {
        self.mentions.push(Mention {
            path,
            line,
            how,
            is_test: self.is_test,
        });
    }

    /// Adds what looks like a path among tokens: identifiers that `::` joins, and that no dot makes a field or a method.
    fn scan(&mut self, tokens: TokenStream) {
        let mut chain: Vec<String> = Vec::new();
        let (mut line, mut colons, mut after_dot) = (0, 0, false);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_of(&mut chain, line);
                        line = ident.span().start().line;
                    }
                    if !after_dot {
                        chain.push(ident.to_string());
                    }
                    (colons, after_dot) = (0, false);
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.end_of(&mut chain, line);
                    colons = 0;
                    after_dot = matches!(&other, TokenTree::Punct(mark) if mark.as_char() == '.');
                    self.scan_inside(other);
                }
            }
        }
        self.end_of(&mut chain, line);
    }

    fn scan_inside(&mut self, token: TokenTree) {
        match token {
            TokenTree::Group(group) => self.scan(group.stream()),
            // As in `#[serde(with = "crate::a::b")]`.
            TokenTree::Literal(literal) => {
                let line = literal.span().start().line;
                let text = literal.to_string();
                let text = text.trim_matches('"');
                if text.contains("::")
                    && let Ok(path) = syn::parse_str::<syn::Path>(text)
                {
                    self.add(segments(&path), line, How::Inline);
                }
            }
            _ => {}
        }
    }

    fn end_of(&mut self, chain: &mut Vec<String>, line: usize) {
        if !chain.is_empty() {
            self.add(std::mem::take(chain), line, How::Inline);
        }
    }
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let how = if is_export(&item.vis) {
            How::Export
        } else {
            How::Import
        };
        let before: &[String] = if item.leading_colon.is_some() {
            &[String::new()]
        } else {
            &[]
        };
        let line = item.use_token.span.start().line;
        for (name, path) in flattened(&item.tree, before) {
            if name == "*" {
                self.globs.push(path);
                continue;
            }
            self.add(path.clone(), line, how);
            if name != "_" {
                self.imports.push((name, path));
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let line = path.segments.first().map(|first| first.ident.span());
        let line = line.map_or(0, |span| span.start().line);
        self.add(segments(path), line, How::Inline);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.scan(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if SILENT.iter().any(|name| attribute.path().is_ident(name)) {
            return;
        }
        self.visit_path(attribute.path());
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    let names = path.segments.iter().map(|one| one.ident.to_string());
    let root = path.leading_colon.map(|_colons| String::new());
    root.into_iter().chain(names).collect()
}
