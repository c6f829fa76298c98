# Debian's packages unpacked into folders of one's own, so that the system stays as it is. To be sourced.

# A root of apt's own: apt_root FOLDER ARCHITECTURE SUITE... It is made from the mirror that the system's sources name.
apt_root() {
	apt=$1
	local architecture=$2 mirror suite
	shift 2
	command -v apt-get >/dev/null || unavailable "no apt-get: packages come from Debian"
	mirror=$(grep -ohsE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/* | head -n 1 |
		tr -d ' ') || true
	[ -n "$mirror" ] || unavailable "the system's sources name no mirror of Debian"
	mkdir -p "$apt"/{lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,packages}
	touch "$apt/status"
	for suite in "$@"; do
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
	done >"$apt/etc/sources.list"
	cat >"$apt/apt.conf" <<-END
		Dir::State "$apt"; Dir::State::status "$apt/status"; Dir::State::lists "$apt/lists"; Dir::Cache "$apt/cache";
		Dir::Etc "$apt/etc"; Dir::Etc::sourceparts "-"; Acquire::Languages "none"; APT::Sandbox::User "root";
		APT::Architecture "$architecture"; APT::Architectures "$architecture";
	END
	export APT_CONFIG=$apt/apt.conf
	apt-get update -qq || unavailable "Debian's package lists are not reached"
}

# unpack ROOT PACKAGE...
unpack() {
	local root=$1 package
	shift
	(cd "$apt/packages" && apt-get download -qq "$@") || unavailable "not to be had: $*"
	for package in "$apt"/packages/*.deb; do dpkg -x "$package" "$root"; done
	rm "$apt"/packages/*.deb
}

# Ends with status 3 and says why.
unavailable() {
	echo "$(basename "$0"): $*" >&2
	exit 3
}
