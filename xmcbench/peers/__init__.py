"""Peers (somebody else's programs) as methods: omikuji, napkinXC, PECOS. All are optional."""
