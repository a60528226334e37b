"""Code reading: what lines of Python, SQL or shell do, which line does a job, what is missing.

Every sample is multiple choice with four choices. Calibrated on SmolLM2-135M-Instruct (chance
0.25). Descriptions in a full sentence work for such a model ("It sorts a list."), bare outputs do
not: asked for the text that a program prints, it prefers any word of the program, and shell
command names alone were at chance too. So outputs are given as sentences as well ("It prints
cats.").

Difficulty is the kind of question and how near the wrong answers are. Easy: a function, a line to
write or a keyword, with wrong answers about something else. Medium: a query, a shell command or a
missing word, with wrong answers of the same sort. Hard: the printed result, and functions and
queries whose wrong answers differ from the right one in a detail. The buckets measure 0.91, 0.59
and 0.45.
"""

from __future__ import annotations

import random

from .common import Difficulty, Question, Sample, multiple_choice

FUNCTION = "What does this Python function do?\n\n"
QUERY = "What does this SQL query do?\n\n"
COMMAND = "What does this shell command do?\n\n"
GAP = "Which word is missing in this Python code?\n\n"
PRINTED = "What does this Python code print?\n\n"

# (kind, code or question, right answer, wrong answers)
Row = tuple[str, str, str, str, str, str]

EASY: tuple[Row, ...] = (
    (
        "function",
        "def f(a, b):\n    return a + b",
        "It adds two numbers.",
        "It opens two files.",
        "It sorts two lists.",
        "It deletes two rows.",
    ),
    (
        "function",
        "def f(x):\n    return x * x",
        "It squares a number.",
        "It reads a file.",
        "It prints a word.",
        "It sorts a list.",
    ),
    (
        "function",
        "def shout(s):\n    return s.upper()",
        "It turns text into upper case.",
        "It counts the letters in text.",
        "It removes the spaces in text.",
        "It looks for a number in text.",
    ),
    (
        "function",
        "def f(path):\n    return open(path).read()",
        "It reads a file.",
        "It sorts a list.",
        "It adds numbers.",
        "It draws a line.",
    ),
    (
        "function",
        "def f(xs):\n    return sum(xs) / len(xs)",
        "It returns the average.",
        "It returns the longest word.",
        "It returns the file name.",
        "It returns the current time.",
    ),
    (
        "function",
        "def f(c):\n    return c * 9 / 5 + 32",
        "It converts Celsius to Fahrenheit.",
        "It converts kilometres to miles.",
        "It converts hours to minutes.",
        "It converts dollars to euros.",
    ),
    (
        "function",
        "def area(w, h):\n    return w * h",
        "It computes the area of a rectangle.",
        "It computes the length of a word.",
        "It computes the age of a person.",
        "It computes the price of a ticket.",
    ),
    (
        "function",
        'def greet(name):\n    print("Hello, " + name)',
        "It greets a person.",
        "It deletes a person.",
        "It counts the people.",
        "It sorts the names.",
    ),
    (
        "function",
        "def f(word):\n    return word == word[::-1]",
        "It tests for a palindrome.",
        "It tests for a birthday.",
        "It tests for a password.",
        "It tests for a database.",
    ),
    (
        "task",
        "Write Python code that prints hello.",
        'print("hello")',
        'input("hello")',
        'len("hello")',
        'open("hello")',
    ),
    (
        "task",
        "Write Python code that adds 4 to the end of the list xs.",
        "xs.append(4)",
        "xs.remove(4)",
        "xs.count(4)",
        "xs.index(4)",
    ),
    (
        "task",
        "Write a SQL query for all rows of the table books.",
        "SELECT * FROM books;",
        "DELETE FROM books;",
        "DROP TABLE books;",
        "INSERT INTO books;",
    ),
    (
        "task",
        "Write Python code that turns the string s into upper case.",
        "s.upper()",
        "s.lower()",
        "s.strip()",
        "s.split()",
    ),
    (
        "task",
        "Write Python code for the square root of 16.",
        "math.sqrt(16)",
        "math.log(16)",
        "math.sin(16)",
        "math.exp(16)",
    ),
    (
        "task",
        "Write a Python loop that runs ten times.",
        "for i in range(10):",
        "def i(range, 10):",
        "import i as range(10)",
        "class i(range(10)):",
    ),
    (
        "task",
        "Write Python code that rounds x to two decimals.",
        "round(x, 2)",
        "print(x, 2)",
        "open(x, 2)",
        "type(x, 2)",
    ),
    (
        "keyword",
        "Which Python keyword starts a function definition?",
        "def",
        "for",
        "try",
        "not",
    ),
    (
        "keyword",
        "Which Python keyword brings in a module?",
        "import",
        "return",
        "lambda",
        "global",
    ),
    (
        "keyword",
        "Which Python function shows text on the screen?",
        "print",
        "input",
        "range",
        "round",
    ),
    (
        "keyword",
        "Which keyword ends a Python loop early?",
        "break",
        "while",
        "print",
        "class",
    ),
    (
        "keyword",
        "Which method adds an item to a Python list?",
        "append",
        "remove",
        "sorted",
        "lambda",
    ),
    (
        "keyword",
        "Which method splits a Python string into words?",
        "split",
        "strip",
        "upper",
        "count",
    ),
)

MEDIUM: tuple[Row, ...] = (
    (
        "query",
        "SELECT name FROM users;",
        "It lists the names of the users.",
        "It deletes the names of the users.",
        "It changes the names of the users.",
        "It counts the names of the users.",
    ),
    (
        "query",
        "DELETE FROM orders WHERE paid = 1;",
        "It removes the paid orders.",
        "It counts the paid orders.",
        "It lists the paid orders.",
        "It adds the paid orders.",
    ),
    (
        "query",
        "SELECT COUNT(*) FROM trees;",
        "It counts the trees.",
        "It sorts the trees.",
        "It deletes the trees.",
        "It lists the trees.",
    ),
    (
        "query",
        "SELECT * FROM cars ORDER BY price;",
        "It lists the cars by price.",
        "It lists the cars by name.",
        "It lists the cars by colour.",
        "It lists the cars by year.",
    ),
    (
        "query",
        "SELECT AVG(age) FROM pupils;",
        "It gives the average age.",
        "It gives the highest age.",
        "It gives the lowest age.",
        "It gives the total age.",
    ),
    (
        "query",
        "INSERT INTO cities VALUES ('Oslo');",
        "It adds a city.",
        "It deletes a city.",
        "It finds a city.",
        "It renames a city.",
    ),
    (
        "command",
        "rm notes.txt",
        "It deletes a file.",
        "It copies a file.",
        "It renames a file.",
        "It prints a file.",
    ),
    (
        "command",
        "cp plan.txt backup.txt",
        "It copies a text file.",
        "It deletes a text file.",
        "It sorts a text file.",
        "It prints a text file.",
    ),
    (
        "command",
        "mkdir photos",
        "It creates a directory.",
        "It deletes a directory.",
        "It renames a directory.",
        "It copies a directory.",
    ),
    (
        "command",
        "wc -l log.txt",
        "It counts the lines.",
        "It sorts the lines.",
        "It deletes the lines.",
        "It prints the lines.",
    ),
    (
        "command",
        "grep error server.log",
        "It finds the lines with error.",
        "It counts the files with error.",
        "It deletes the lines with error.",
        "It copies the files with error.",
    ),
    (
        "command",
        "ls *.png",
        "It lists the png files.",
        "It opens the png files.",
        "It deletes the png files.",
        "It copies the png files.",
    ),
    (
        "gap",
        "for i ___ range(3):\n    print(i)",
        "in",
        "is",
        "or",
        "if",
    ),
    (
        "gap",
        "if x > 3:\n    print(1)\n___:\n    print(2)",
        "else",
        "with",
        "pass",
        "from",
    ),
    (
        "gap",
        "def double(x):\n    ___ x * 2",
        "return",
        "import",
        "except",
        "lambda",
    ),
    (
        "gap",
        "___ Dog:\n    legs = 4",
        "class",
        "while",
        "break",
        "yield",
    ),
    (
        "gap",
        "___ x < 10:\n    x = x + 1",
        "while",
        "class",
        "raise",
        "yield",
    ),
    (
        "gap",
        "try:\n    load()\n___ ValueError:\n    print(0)",
        "except",
        "return",
        "import",
        "lambda",
    ),
    (
        "function",
        "def f(n):\n    return n % 2 == 0",
        "It tests whether a number is even.",
        "It tests whether a number is odd.",
        "It tests whether a number is negative.",
        "It tests whether a number is prime.",
    ),
    (
        "function",
        "def f(items):\n    return len(items) == 0",
        "It tests whether a list is empty.",
        "It tests whether a list is sorted.",
        "It tests whether a list is full.",
        "It tests whether a list is long.",
    ),
    (
        "function",
        "def f(xs):\n    return [x for x in xs if x > 0]",
        "It keeps the positive numbers.",
        "It keeps the negative numbers.",
        "It keeps the even numbers.",
        "It keeps the first numbers.",
    ),
    (
        "function",
        "def f(s):\n    return len(s.split())",
        "It counts the words.",
        "It counts the letters.",
        "It counts the lines.",
        "It counts the files.",
    ),
)

HARD: tuple[Row, ...] = (
    (
        "printed",
        'word = "cat"\nprint(word + "s")',
        "It prints cats.",
        "It prints cat.",
        "It prints words.",
        "It prints s.",
    ),
    (
        "printed",
        "print(2 + 3)",
        "It prints 5.",
        "It prints 6.",
        "It prints 2.",
        "It prints 3.",
    ),
    (
        "printed",
        'colours = ["red", "blue"]\nprint(colours[0])',
        "It prints red.",
        "It prints blue.",
        "It prints colours.",
        "It prints 0.",
    ),
    (
        "printed",
        'print(len("bread"))',
        "It prints 5.",
        "It prints 1.",
        "It prints 6.",
        "It prints 4.",
    ),
    (
        "printed",
        'age = 12\nprint("child" if age < 18 else "adult")',
        "It prints child.",
        "It prints adult.",
        "It prints 12.",
        "It prints 18.",
    ),
    (
        "printed",
        "xs = [4, 5, 6]\nprint(xs[1:])",
        "It prints [5, 6].",
        "It prints [4, 5].",
        "It prints [4].",
        "It prints [6].",
    ),
    (
        "printed",
        "print(max(3, 9, 4))",
        "It prints 9.",
        "It prints 3.",
        "It prints 4.",
        "It prints 16.",
    ),
    (
        "printed",
        "print(sorted([30, 10, 20]))",
        "It prints [10, 20, 30].",
        "It prints [30, 20, 10].",
        "It prints [30, 10, 20].",
        "It prints [20, 10, 30].",
    ),
    (
        "printed",
        "print(7 > 8)",
        "It prints False.",
        "It prints True.",
        "It prints 7.",
        "It prints 8.",
    ),
    (
        "function",
        "def f(a, b):\n    if a > b:\n        return a\n    return b",
        "It returns the larger number.",
        "It returns the smaller number.",
        "It returns the sum of both.",
        "It returns the first number.",
    ),
    (
        "function",
        "def f(s):\n    return s[::-1]",
        "It reverses a string.",
        "It copies a string.",
        "It splits a string.",
        "It prints a string.",
    ),
    (
        "function",
        "def f(n):\n    return 1 if n == 0 else n * f(n - 1)",
        "It computes the factorial.",
        "It computes the square root.",
        "It computes the average.",
        "It computes the sum.",
    ),
    (
        "function",
        "def f(xs):\n    return list(set(xs))",
        "It removes duplicates.",
        "It sorts the items.",
        "It reverses the list.",
        "It doubles the items.",
    ),
    (
        "function",
        "def f(a):\n    n = 0\n    for x in a:\n        if x > 9: n += 1\n    return n",
        "It counts the numbers above 9.",
        "It adds up the numbers above 9.",
        "It removes the numbers above 9.",
        "It prints the numbers above 9.",
    ),
    (
        "function",
        "def f(d):\n    return sorted(d.keys())",
        "It sorts the keys.",
        "It sorts the values.",
        "It deletes the keys.",
        "It counts the keys.",
    ),
    (
        "query",
        "UPDATE staff SET pay = pay + 10;",
        "It raises the pay by 10.",
        "It lowers the pay by 10.",
        "It sets the pay to 10.",
        "It lists pay over 10.",
    ),
    (
        "query",
        "SELECT MAX(score) FROM games;",
        "It gives the highest score.",
        "It gives the lowest score.",
        "It gives the average score.",
        "It gives the total score.",
    ),
    (
        "query",
        "SELECT * FROM hotels WHERE stars > 3 LIMIT 5;",
        "It lists five hotels with over 3 stars.",
        "It lists three hotels with over 5 stars.",
        "It lists five hotels with under 3 stars.",
        "It deletes five hotels with 3 stars.",
    ),
    (
        "query",
        "SELECT DISTINCT country FROM clients;",
        "It lists each country once.",
        "It lists each client twice.",
        "It deletes each country.",
        "It counts each client.",
    ),
    (
        "task",
        "Write Python code that gives the number of items in xs.",
        "len(xs)",
        "max(xs)",
        "sum(xs)",
        "min(xs)",
    ),
    (
        "task",
        "Write a shell command that deletes old.txt.",
        "rm old.txt",
        "ls old.txt",
        "cat old.txt",
        "cp old.txt",
    ),
    (
        "task",
        "Write Python code that tests whether x is odd.",
        "x % 2 == 1",
        "x % 2 == 0",
        "x / 2 == 1",
        "x * 2 == 1",
    ),
)

LEAD = {
    "function": FUNCTION,
    "query": QUERY,
    "command": COMMAND,
    "gap": GAP,
    "printed": PRINTED,
    "task": "",
    "keyword": "",
}


def questions(rows: tuple[Row, ...]) -> list[Question]:
    """The rows as questions, each with the lead of its kind."""
    return [
        Question(LEAD[kind] + text, right, tuple(wrong), template=kind)
        for kind, text, right, *wrong in rows
    ]


def samples(rng: random.Random) -> list[Sample]:
    """The 66 samples."""
    rows: dict[Difficulty, tuple[Row, ...]] = {"easy": EASY, "medium": MEDIUM, "hard": HARD}
    return multiple_choice(
        rng, "code_reading", {level: questions(row) for level, row in rows.items()}
    )
