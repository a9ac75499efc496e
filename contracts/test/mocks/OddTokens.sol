// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";

/// @notice An ERC-20 without manners; the kinds below each break one promise (threats 1 to 4).
abstract contract OddToken {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function _move(address from, address to, uint256 amount) internal {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Keeps one percent of every transfer.
contract FeeToken is OddToken {
    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        balanceOf[to] -= amount / 100;
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        _move(from, to, amount);
        balanceOf[to] -= amount / 100;
        return true;
    }
}

/// @notice Moves nothing and returns false.
contract FalseToken is OddToken {
    function transfer(address, uint256) external pure returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) external pure returns (bool) {
        return false;
    }
}

/// @notice Returns nothing at all, as some old tokens do.
contract SilentToken is OddToken {
    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        _move(from, to, amount);
    }
}

/// @notice Refuses one payee.
contract BlocklistToken is OddToken {
    error Blocked(address account);

    address public blocked;

    function setBlocked(address account) external {
        blocked = account;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        if (to == blocked) revert Blocked(to);
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        _move(from, to, amount);
        return true;
    }
}

/// @notice Calls back into the market while it moves money.
contract ReentrantToken is OddToken {
    IMarket public market;
    bytes public attack;
    bool public succeeded;

    function arm(IMarket market_, bytes calldata attack_) external {
        (market, attack) = (market_, attack_);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _reenter();
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        _move(from, to, amount);
        _reenter();
        return true;
    }

    function _reenter() private {
        if (attack.length == 0) return;
        bytes memory call = attack;
        delete attack; // once is enough, and the attack must not attack itself
        (succeeded,) = address(market).call(call);
    }
}
