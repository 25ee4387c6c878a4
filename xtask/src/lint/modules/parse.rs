//! What one file defines, imports and refers to.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Meta, UseTree};

use super::{How, Reference};

/// The content of a module.
#[derive(Default)]
pub struct Parsed {
    pub items: BTreeSet<String>,
    pub imports: BTreeMap<String, Vec<String>>,
    pub globs: Vec<Vec<String>>,
    pub references: Vec<Reference>,
    pub children: Vec<Child>,
}

/// A `mod` in a module.
pub struct Child {
    pub name: String,
    /// Whether only tests compile it.
    pub test: bool,
    /// The value of `#[path]`.
    pub location: Option<String>,
    /// Its content if it is a block.
    pub content: Option<Parsed>,
}

/// Parses a file; all of it is test code if `test`.
pub fn parse(text: &str, test: bool) -> syn::Result<Parsed> {
    let file = syn::parse_file(text)?;
    let mut reader = Reader { test, parsed: Parsed::default() };
    reader.visit_file(&file);
    Ok(reader.parsed)
}

struct Reader {
    test: bool,
    parsed: Parsed,
}

impl Reader {
    fn refer(&mut self, segments: Vec<String>, line: usize, how: How) {
        self.parsed.references.push(Reference { segments, line, how, test: self.test });
    }

    /// Does `work`, as test code if `attributes` say so.
    fn within(&mut self, attributes: &[Attribute], work: impl FnOnce(&mut Self)) {
        let outside = self.test;
        self.test |= attributes.iter().any(is_test);
        work(self);
        self.test = outside;
    }

    /// Flattens the tree of a `use` whose beginning is `prefix`.
    fn tree(&mut self, tree: &UseTree, prefix: &[String]) {
        let with = |ident: &Ident| [prefix, &[name(ident)]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident)),
            UseTree::Name(leaf) => self.leaf(&with(&leaf.ident), None, &leaf.ident),
            UseTree::Rename(leaf) => self.leaf(&with(&leaf.ident), Some(name(&leaf.rename)), &leaf.ident),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, prefix)),
            UseTree::Glob(glob) => {
                self.refer(prefix.to_vec(), glob.star_token.spans[0].start().line, How::Glob);
                self.parsed.globs.push(prefix.to_vec());
            }
        }
    }

    fn leaf(&mut self, path: &[String], rename: Option<String>, at: &Ident) {
        // `use a::{self}` imports `a`.
        let path = match path {
            [before @ .., last] if last == "self" && !before.is_empty() => before,
            path => path,
        };
        self.refer(path.to_vec(), at.span().start().line, How::Import);
        if let Some(name) = rename.or_else(|| path.last().cloned()) {
            self.parsed.imports.insert(name, path.to_vec());
        }
    }

    /// Paths of two or more segments in unparsed tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<(String, usize)> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push((name(&ident), ident.span().start().line));
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    colons = 0;
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.end(&mut path);
                    colons = 0;
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<(String, usize)>) {
        if let [(_, line), _, ..] = path[..] {
            self.refer(path.iter().map(|(name, _)| name.clone()).collect(), line, How::Inline);
        }
        path.clear();
    }

    fn child(&mut self, module: &syn::ItemMod) {
        let content = module.content.as_ref().map(|(_, items)| {
            let mut below = Reader { test: self.test, parsed: Parsed::default() };
            items.iter().for_each(|item| below.visit_item(item));
            below.parsed
        });
        let location = module.attrs.iter().find_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        });
        self.parsed.children.push(Child { name: name(&module.ident), test: self.test, location, content });
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, defined) = facts(item);
        self.parsed.items.extend(defined.map(name));
        self.within(attributes, |reader| match item {
            Item::Mod(module) => reader.child(module),
            Item::ExternCrate(item) if item.ident == "self" => {
                let alias = item.rename.as_ref().map(|(_, alias)| name(alias));
                reader.parsed.imports.extend(alias.map(|alias| (alias, vec!["crate".to_owned()])));
            }
            _ => visit::visit_item(reader, item),
        });
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            _ => &[],
        };
        self.within(attributes, |reader| visit::visit_impl_item(reader, item));
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let prefix = if item.leading_colon.is_some() { vec![String::new()] } else { Vec::new() };
        self.tree(&item.tree, &prefix);
    }

    /// `pub(in path)` does not import anything.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1
            && let Some(first) = path.segments.first()
        {
            let leading = path.leading_colon.as_ref().map(|_| String::new());
            let segments = leading.into_iter().chain(path.segments.iter().map(|at| name(&at.ident)));
            let segments = segments.collect();
            self.refer(segments, first.ident.span().start().line, How::Inline);
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.refer(vec![name(&call.method)], call.method.span().start().line, How::Method);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.tokens(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }
}

/// The attributes of an item, and the name that it defines.
fn facts(item: &Item) -> (&[Attribute], Option<&Ident>) {
    match item {
        Item::Const(item) => (&item.attrs, Some(&item.ident)),
        Item::Enum(item) => (&item.attrs, Some(&item.ident)),
        Item::ExternCrate(item) => (&item.attrs, None),
        Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
        Item::ForeignMod(item) => (&item.attrs, None),
        Item::Impl(item) => (&item.attrs, None),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
        Item::Mod(item) => (&item.attrs, None),
        Item::Static(item) => (&item.attrs, Some(&item.ident)),
        Item::Struct(item) => (&item.attrs, Some(&item.ident)),
        Item::Trait(item) => (&item.attrs, Some(&item.ident)),
        Item::TraitAlias(item) => (&item.attrs, Some(&item.ident)),
        Item::Type(item) => (&item.attrs, Some(&item.ident)),
        Item::Union(item) => (&item.attrs, Some(&item.ident)),
        Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}

/// `#[test]`, `#[cfg(test)]` and `#[cfg(all(test, …))]`.
fn is_test(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition: String = list.tokens.to_string().split_whitespace().collect();
            condition == "test" || condition.starts_with("all(test,")
        }
        _ => false,
    }
}

/// An identifier without `r#`.
fn name(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}
