//! Tables that become cards on narrow screens.
//!
//! The style sheet turns rows into cards below 640 px. That takes the table's meaning away in some browsers, so the roles
//! are written out.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

/// A table: `head` is a row of [`HeaderCell`]s and [`SortHeader`]s, the children are [`Row`]s of [`Cell`]s.
#[component]
pub fn DataTable(
    /// What the table holds; read out, not shown.
    #[prop(into)]
    caption: String,
    /// The header cells.
    head: ViewFnOnce,
    /// The rows as HTML, where they are that already ([`super::push_kept`]).
    #[prop(optional)]
    html: Option<String>,
    /// The rows.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    // Nothing in a table waits for anything: as text it is not taken apart and moved about once more while the page is put
    // together.
    let rows = html.or_else(|| children.map(|children| children().to_html())).unwrap_or_default();
    view! {
        <div class="table-wrap">
            <table class="data-table" role="table">
                <caption class="sr-only">{caption}</caption>
                <thead role="rowgroup">
                    <tr role="row">{head.run()}</tr>
                </thead>
                <tbody role="rowgroup" inner_html=rows></tbody>
            </table>
        </div>
    }
    .into_any()
}

/// A row.
#[component]
pub fn Row(
    /// Its cells.
    children: Children,
) -> impl IntoView {
    view! { <tr role="row">{children()}</tr> }.into_any()
}

/// A cell. `label` is the column's name: cards show it before the content.
#[component]
pub fn Cell(
    /// The column's name; empty for what needs none.
    #[prop(optional)]
    label: &'static str,
    /// What names the row: shown as the card's title.
    #[prop(optional)]
    title: bool,
    /// The row's buttons.
    #[prop(optional)]
    actions: bool,
    /// Numbers: aligned to the right.
    #[prop(optional)]
    number: bool, /// What it holds.
    children: Children,
) -> impl IntoView {
    if title {
        return view! {
            <th role="rowheader" scope="row" class="cell-title" data-label=label>
                {children()}
            </th>
        }
        .into_any();
    }
    let class = match (actions, number) {
        (true, _) => Some("cell-actions"),
        (false, true) => Some("cell-number"),
        (false, false) => None,
    };
    view! { <td role="cell" class=class data-label=label>{children()}</td> }.into_any()
}

/// The header of a column that can't be sorted by.
#[component]
pub fn HeaderCell(
    /// The column's name.
    label: &'static str,
    /// Only read out: for the column of buttons.
    #[prop(optional)]
    hidden: bool,
    /// Numbers: aligned to the right.
    #[prop(optional)]
    number: bool,
) -> impl IntoView {
    view! {
        <th role="columnheader" scope="col" class=if number { "cell-number" } else { "" }>
            <span class=if hidden { "sr-only" } else { "" }>{label}</span>
        </th>
    }
    .into_any()
}

/// Whether a table is sorted by a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sorted {
    /// By another one.
    #[default]
    No,
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// The header of a column that the table can be sorted by: a link, so that the order stands in the URL.
#[component]
pub fn SortHeader(
    /// The column's name.
    label: &'static str, /// Where the list is in the other order.
    #[prop(into)]
    href: String,
    /// Whether the list is sorted by it now.
    sorted: Sorted,
    /// Numbers: aligned to the right.
    #[prop(optional)]
    number: bool,
) -> impl IntoView {
    view! {
        <th
            role="columnheader"
            scope="col"
            class=if number { "cell-number" } else { "" }
            aria-sort=match sorted {
                Sorted::No => None,
                Sorted::Ascending => Some("ascending"),
                Sorted::Descending => Some("descending"),
            }
        >
            <a class="sort-link" href=href>
                {label}
                <Icon name=match sorted {
                    Sorted::No => IconName::ChevronsUpDown,
                    Sorted::Ascending => IconName::ChevronUp,
                    Sorted::Descending => IconName::ChevronDown,
                }/>
            </a>
        </th>
    }
    .into_any()
}
