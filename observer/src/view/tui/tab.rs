//! The screens and their tables.

/// A screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// Devices, traffic, the largest paths and the trend.
    #[default]
    Overview,
    /// Paths only.
    Paths,
    /// Fragments by device and by path.
    Fragmentation,
    /// Sizes and the what-if.
    Sizes,
    /// Hooks, tables, losses and Observer's cost.
    Health,
    /// The cost of encapsulation.
    Cost,
}

impl Tab {
    /// Every tab, in the order of their keys.
    pub const ALL: [Self; 6] =
        [Self::Overview, Self::Paths, Self::Fragmentation, Self::Sizes, Self::Health, Self::Cost];

    /// Its title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Paths => "Paths",
            Self::Fragmentation => "Fragments",
            Self::Sizes => "Sizes",
            Self::Health => "Health",
            Self::Cost => "Cost",
        }
    }

    /// The title with its key, as in the list of tabs.
    pub(super) fn label(self) -> String {
        format!(" {} {} ", self as usize + 1, self.title())
    }

    /// The tables that it shows.
    #[must_use]
    pub const fn tables(self) -> &'static [Focus] {
        match self {
            Self::Overview => &[Focus::Traffic, Focus::Paths],
            Self::Paths => &[Focus::Paths],
            Self::Fragmentation => &[Focus::Fragments, Focus::FragmentedPaths],
            Self::Sizes => &[Focus::Sizes],
            Self::Health => &[Focus::Hooks],
            Self::Cost => &[Focus::Spans, Focus::RoundTrips, Focus::Softirqs],
        }
    }
}

/// A table that keys act on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    /// By device, direction and encapsulation.
    #[default]
    Traffic,
    /// Paths.
    Paths,
    /// Fragments by device, direction and encapsulation.
    Fragments,
    /// Paths with fragments, or with packets that do not fit.
    FragmentedPaths,
    /// The line whose sizes are shown.
    Sizes,
    /// Hooks by device.
    Hooks,
    /// Encapsulation and decapsulation by tunnel device.
    Spans,
    /// Latency and loss by peer node.
    RoundTrips,
    /// Network softirqs by CPU.
    Softirqs,
}

impl Focus {
    /// Every table.
    pub const ALL: [Self; 9] = [
        Self::Traffic,
        Self::Paths,
        Self::Fragments,
        Self::FragmentedPaths,
        Self::Sizes,
        Self::Hooks,
        Self::Spans,
        Self::RoundTrips,
        Self::Softirqs,
    ];

    /// Its title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Traffic => "Traffic by device and encapsulation",
            Self::Paths => "Paths",
            Self::Fragments => "Fragments by device and encapsulation",
            Self::FragmentedPaths => "Paths with fragments or oversized packets",
            Self::Sizes => "Sizes",
            Self::Hooks => "Hooks",
            Self::Spans => "Encapsulation",
            Self::RoundTrips => "Latency and loss by peer node",
            Self::Softirqs => "Network softirqs by CPU",
        }
    }

    /// A short title for narrow screens.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Traffic => "Traffic",
            Self::Fragments => "Fragments",
            Self::FragmentedPaths => "Affected paths",
            Self::Softirqs => "Softirqs",
            _ => self.title(),
        }
    }
}
