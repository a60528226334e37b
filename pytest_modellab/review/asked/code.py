"""Python code as a tree: its text, and what of it says nothing."""

from __future__ import annotations

import ast


def without_names(node: ast.AST) -> None:
    """Give the variables of a function names by their order, and take its annotations out."""
    bound = [
        one.id
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    ]
    names = {name: f"_{k}" for k, name in enumerate(dict.fromkeys(bound))}
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            one.id = names.get(one.id, one.id)
        elif isinstance(one, ast.arg):
            one.annotation = None
        elif isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
            one.returns = None


def unparsed(node: ast.AST) -> str:
    """Return code as text; some f-strings have none that every Python reads."""
    try:
        return ast.unparse(node)
    except ValueError:
        return ast.dump(node)


def is_docstring(statement: ast.stmt) -> bool:
    """Whether a statement is a text by itself."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
