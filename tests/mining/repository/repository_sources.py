"""A small source in each language, and what is to be found in it."""

from __future__ import annotations

from typing import NamedTuple


class Expected(NamedTuple):
    name: str
    line: int
    description: str
    begins: str
    ends: str


PYTHON = '''\
"""A module."""
import os


class Shelf:
    """Not a function."""

    @property
    def count(self, *kinds):
        r"""Count the :class:`books <Book>` of *some* kinds, as ``len`` does.

        Args:
            kinds: which ones.
        """
        # the heaviest ones count twice

        found = [book for book in self.books if book.kind in kinds]
        return len(found)

    async def fetch(self, url):
        """
        Fetch a page
        over the network.

        :param url: where it is
        """
        page = await get(url)

        return page


def undocumented(a):
    b = a
    return b


def parse(text):
    """Parse a text and
    return its tree.
    @param text: what to parse
    @return: L{Tree}
    """
    tree = Tree(text)
    return tree


def scaled(x, factor):
    """Scale a vector by a factor.

    Parameters
    ----------
    x : array
    """
    y = x * factor
    return y


def glued(a):
    """Stands on a line with code."""; b = a
    return b
'''

JAVA = """\
package shop;

class Cart<T> {
    /**
     * Adds an <b>item</b> to the {@link Cart cart}, unless {@code full}.
     * <p>
     * Nothing else happens.
     * @param item what to add
     */
    @Override
    public boolean add(T item) {
        if (full) { return false; }
        return items.add(item);
    }

    /** Makes a cart for one buyer. */
    Cart(Buyer buyer) {
        this.buyer = buyer;
        this.items = new ArrayList<>();
    }

    // Not a doc comment at all.
    int size() {
        int n = items.size();
        return n;
    }

    /** An abstract one has no body. */
    abstract void drop();

    /** {@inheritDoc} */
    public String toString() {
        String s = "";
        return s;
    }
}
"""

JAVASCRIPT = """\
/**
 * Adds two numbers.
 * @param {number} a
 */
export function add(a, b) {
  const sum = a + b;
  return sum;
}

/** Doubles the given `value` at once. */
export const double = async (value) => {
  const twice = value * 2;
  return twice;
};

/** Is [the page](http://a.b/c) open now? */
exports.isOpen = function (page) {
  const open = page.open;
  return open;
};

class Door {
  /**
   * @description Opens the door slowly.
   */
  open(speed) {
    this.speed = speed;
    return this;
  }
}

const tools = {
  /** Closes what is open. */
  close: function (door) {
    door.open = false;
    return door;
  },
};
"""

TYPESCRIPT = """\
export class Door {
  /** Opens the door with a key. */
  @log()
  public open(key: string): boolean {
    const fits = this.lock === key;
    return fits;
  }

  abstract close(): void;
}

/**
 * Picks the first of some things.
 *
 * @returns the first one
 */
export const first = <T,>(things: T[]): T => {
  const found = things[0];
  return found;
};
"""

TSX = """\
/** Shows the name of a user. */
export function Name({ user }: Props) {
  const name = user.name;
  return <b>{name}</b>;
}
"""

GO = """\
package shop

// Open opens the door with a [Key].
// It may take a while.
//
// Deprecated: use Unlock.
//
//go:noinline
func Open(key Key) error {
	door.mu.Lock()
	return door.open(key)
}

// This one stands apart.

func apart(a int) int {
	b := a
	return b
}

/* Close closes the door again. */
func (d *Door) Close() error {
	d.open = false
	return nil
}
"""

RUBY = """\
module Shop
  class Cart < Base
    # Adds an +item+ to the cart.
    #
    # @param item [Item] what to add
    def add(item)
      items << item
    end

    # Empties all the carts.
    # rubocop:disable Style/Foo
    def self.clear
      all.each(&:clear)
    end
  end
end

=begin
Computes the total of prices.
=end
def total(prices)
  prices.sum
end
"""

PHP = """\
<?php
namespace Shop;

/**
 * Adds an item to the cart.
 *
 * @param Item $item
 */
function add(Item $item): bool {
    $cart = cart();
    return $cart->add($item);
}

class Cart {
    /** Counts the items in {@see Cart}. */
    #[Pure]
    public function count() {
        $n = sizeof($this->items);
        return $n;
    }

    abstract function none();
}
"""

C = """\
#include <stdio.h>

/*
 * Return the length of a list.
 * Lists may be empty.
 */
static int *length(struct list *l)
{
    int n = l->n;
    return n;
}

int after; /* not about what follows */
int plain(int a)
{
    return a;
}

/**
 * @brief Frees all of a list.
 * @param l the list
 */
void release(struct list *l)
{
    free(l);
}
"""

CPP = """\
namespace shop {
class Cart {
 public:
  /// Adds an \\c item to the cart.
  /// \\param item what to add
  template <class T>
  bool add(T item) {
    items.push_back(item);
    return true;
  }
};

/*!
 * \\brief Removes an item from the cart.
 */
bool Cart::remove(int at) {
  items.erase(at);
  return true;
}
}
"""

C_SHARP = """\
namespace Shop {
    public class Cart<T> {
        /// <summary>
        /// Adds an item to the <see cref="T:Shop.Cart"/> of <paramref name="buyer"/>.
        /// </summary>
        /// <param name="item">What to add.</param>
        [Obsolete]
        public bool Add(T item) {
            items.Add(item);
            return true;
        }

        /// <inheritdoc/>
        public int Count() {
            var n = items.Count;
            return n;
        }
    }
}
"""

RUST = """\
/// Adds an item to the [`Cart`] &amp; counts it.
///
/// # Examples
/// ```
/// add(1);
/// ```
#[inline]
pub fn add<T>(item: T) -> usize {
    items.push(item);
    items.len()
}

/// This one stands apart.

fn apart() -> i32 {
    let a = 1;
    a
}

impl<T> Cart<T> {
    /** Empties the whole cart. */
    pub async fn clear(&self) {
        self.items.clear()
    }
}
"""

SOURCES: dict[str, tuple[str, list[Expected]]] = {
    "shelf.py": (
        PYTHON,
        [
            Expected(
                "Shelf.count",
                9,
                "Count the books of some kinds, as len does.",
                "def count(self, *kinds):\n    # the",
                "\n    return len(found)",
            ),
            Expected(
                "Shelf.fetch",
                20,
                "Fetch a page over the network.",
                "async def fetch(self, url):\n    page",
                "return page",
            ),
            Expected("parse", 37, "Parse a text and return its tree.", "def parse(text):\n    tree", "return tree"),
            Expected("scaled", 47, "Scale a vector by a factor.", "def scaled(x, factor):\n    y", "return y"),
        ],
    ),
    "Cart.java": (
        JAVA,
        [
            Expected(
                "Cart.add", 10, "Adds an item to the cart, unless full.", "@Override\npublic boolean add(T", "\n}"
            ),
            Expected("Cart.Cart", 17, "Makes a cart for one buyer.", "Cart(Buyer buyer) {\n    this", "\n}"),
        ],
    ),
    "add.js": (
        JAVASCRIPT,
        [
            Expected("add", 5, "Adds two numbers.", "function add(a, b) {", "\n}"),
            Expected("double", 11, "Doubles the given value at once.", "const double = async (value) => {", "\n};"),
            Expected("exports.isOpen", 17, "Is the page open now?", "exports.isOpen = function (page) {", "\n};"),
            Expected("Door.open", 26, "Opens the door slowly.", "open(speed) {\n  this", "\n}"),
            Expected("close", 34, "Closes what is open.", "close: function (door) {\n  door", "\n}"),
        ],
    ),
    "door.ts": (
        TYPESCRIPT,
        [
            Expected("Door.open", 4, "Opens the door with a key.", "public open(key: string): boolean {", "\n}"),
            Expected("first", 17, "Picks the first of some things.", "const first = <T,>(things: T[]): T => {", "\n};"),
        ],
    ),
    "name.tsx": (TSX, [Expected("Name", 2, "Shows the name of a user.", "function Name({ user }: Props) {", "\n}")]),
    "open.go": (
        GO,
        [
            Expected(
                "Open", 9, "Open opens the door with a Key. It may take a while.", "func Open(key Key) error {", "\n}"
            ),
            Expected("Door.Close", 22, "Close closes the door again.", "func (d *Door) Close() error {", "\n}"),
        ],
    ),
    "cart.rb": (
        RUBY,
        [
            Expected("Shop.Cart.add", 6, "Adds an item to the cart.", "def add(item)\n  items", "\nend"),
            Expected("Shop.Cart.clear", 12, "Empties all the carts.", "def self.clear\n  all", "\nend"),
            Expected("total", 21, "Computes the total of prices.", "def total(prices)\n  prices", "\nend"),
        ],
    ),
    "cart.php": (
        PHP,
        [
            Expected("add", 9, "Adds an item to the cart.", "function add(Item $item): bool {", "\n}"),
            Expected("Cart.count", 16, "Counts the items in Cart.", "#[Pure]\npublic function count() {", "\n}"),
        ],
    ),
    "list.c": (
        C,
        [
            Expected(
                "length",
                7,
                "Return the length of a list. Lists may be empty.",
                "static int *length(struct list *l)",
                "\n}",
            ),
            Expected("release", 23, "Frees all of a list.", "void release(struct list *l)", "\n}"),
        ],
    ),
    "cart.cpp": (
        CPP,
        [
            Expected(
                "shop.Cart.add",
                6,
                "Adds an item to the cart.",
                "template <class T>\nbool add(T item) {\n  items",
                "\n}",
            ),
            Expected("shop.Cart.remove", 16, "Removes an item from the cart.", "bool Cart::remove(int at) {", "\n}"),
        ],
    ),
    "Cart.cs": (
        C_SHARP,
        [
            Expected(
                "Cart.Add",
                7,
                "Adds an item to the Shop.Cart of buyer.",
                "[Obsolete]\npublic bool Add(T item) {\n    items",
                "\n}",
            )
        ],
    ),
    "cart.rs": (
        RUST,
        [
            Expected("add", 8, "Adds an item to the Cart & counts it.", "pub fn add<T>(item: T) -> usize {", "\n}"),
            Expected("Cart.clear", 22, "Empties the whole cart.", "pub async fn clear(&self) {\n    self", "\n}"),
        ],
    ),
}
