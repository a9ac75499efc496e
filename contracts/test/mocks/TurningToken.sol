// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice A plain ERC-20 whose owner upgrades it, in the middle of anything, into something else (threats 1 to 5).
contract TurningToken {
    enum Manner {
        Plain,
        ReturnsFalse, // moves nothing, and says so
        Paused, // reverts whatever is asked
        TakesAll, // keeps whatever is moved
        RefusesZero, // reverts on a transfer of nothing
        Tells, // calls the receiver back, as ERC-777 does
        Halves // says that everybody has half of what it has
    }

    error Refused();

    uint8 public immutable decimals;
    Manner public manner;
    mapping(address => uint256) private _balances;

    constructor(uint8 decimals_) {
        decimals = decimals_;
    }

    function turn(Manner manner_) external {
        manner = manner_;
    }

    function mint(address to, uint256 amount) external {
        _balances[to] += amount;
    }

    function balanceOf(address account) external view returns (uint256) {
        return manner == Manner.Halves ? _balances[account] / 2 : _balances[account];
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    /// @dev Everybody is approved: allowances are not what is tested here.
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        return _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        if (manner == Manner.Paused || (manner == Manner.RefusesZero && amount == 0)) revert Refused();
        if (manner == Manner.ReturnsFalse) return false;
        uint256 taken = manner == Manner.Halves ? 2 * amount : amount;
        _balances[from] -= taken;
        if (manner != Manner.TakesAll) _balances[to] += taken;
        if (manner == Manner.Tells && to.code.length != 0) ITold(to).tokensReceived(amount);
        return true;
    }
}

interface ITold {
    function tokensReceived(uint256 amount) external;
}
