"""A terminal that wraps long lines again when its width changes, as most do, for what programs write to a pty."""

from __future__ import annotations

import re

TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Screen:
    """Lines as they were written, each of which takes as many rows as the width needs.

    Attributes
    ----------
    widest : the most columns that a line had that was being written. cursor_is_shown : what the program left.
    """

    def __init__(self, width: int) -> None:
        self.width, self.lines, self.line, self.column = width, [""], 0, 0
        self.widest, self.cursor_is_shown = 0, True

    def write(self, text: str) -> None:
        for parameters, command, control, plain in TOKEN.findall(text):
            if command == "J":
                self.lines[self.line :] = [self.lines[self.line][: self.column]]
            elif command == "K":
                self._erase_row()
            elif command == "A":
                self._up(int(parameters or 1))
            elif command in "hl" and parameters == "?25":
                self.cursor_is_shown = command == "h"
            elif control == "\r":
                self.column -= self.column % self.width
            elif control == "\n":
                self._down()
            elif plain:
                self._put(plain)

    def _put(self, text: str) -> None:
        line = self.lines[self.line].ljust(self.column)
        self.lines[self.line] = line[: self.column] + text + line[self.column + len(text) :]
        self.column += len(text)
        self.widest = max(self.widest, self.column)

    def _down(self) -> None:
        self.line, self.column = self.line + 1, 0
        if self.line == len(self.lines):
            self.lines.append("")

    def _up(self, rows: int) -> None:
        for _ in range(rows):
            if self.column >= self.width:
                self.column -= self.width
            elif self.line > 0:
                self.line -= 1
                self.column += max(0, len(self.lines[self.line]) - 1) // self.width * self.width

    def _erase_row(self) -> None:
        line, start = self.lines[self.line], self.column - self.column % self.width
        rest = line[start + self.width :]
        self.lines[self.line] = (line[:start] + " " * self.width + rest).rstrip()

    def shown(self) -> list[str]:
        """The lines that are not empty."""
        return [line.rstrip() for line in self.lines if line.strip()]
